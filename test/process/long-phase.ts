/** Phases that load generators hold open for as long as they like: the detector leaves them alone (D1). */
import type { Session } from '../../src/client/client.ts';

const PLAN = 'load';
const PRIOR_MS = 24 * 60 * 60 * 1000;

/** Makes the loop, begins ANALYZE of its first round, and resolves with the token. */
export async function beginLongPhase(session: Session, loop: string): Promise<number> {
  await session.registerPlan({ name: PLAN, phases: [{ name: 'ANALYZE', priorMs: PRIOR_MS, slaMs: 0 }] });
  await session.createLoop(loop, { plan: PLAN });
  return (await session.beginPhase({ loop, g: 1, phase: 'ANALYZE' })).token;
}
