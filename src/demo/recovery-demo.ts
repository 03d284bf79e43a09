/** The demo of what is left half done: real members, a real outside world, and kills at the worst moments. */
import { QuorateClient, type Session } from '../client/client.ts';
import { FEATURE_LEVEL } from '../types/feature-level.ts';
import { waitForEqualState } from './checks.ts';
import { type Cleanup, type DemoDeps, runCleanly } from './cleanup.ts';
import { Provider } from './provider.ts';
import { DOCUMENTS_BEFORE } from './provision.ts';
import { type EffectLine, effectLines, effectProblems, ranTwice } from './recovery-checks.ts';
import { RecoveryStory, type StoryResult } from './recovery-story.ts';
import { until } from './waiting.ts';

const LOOP = 'provision';
const PLAN = 'provision';
const MEMBERS = 3;
const CATCH_UP_MS = 15_000;
const DEADLINE_MS = 30_000;
/** Longer than the demo. */
const SESSION_TTL_MS = 120_000;
/**
 * What each phase of the plan is expected to take, milliseconds. Much longer than the phase is here, so that a busy machine is no
 * hang; the first timeout is 1.6 · (1 + 1.6448536 / 2) of it.
 */
const PRIOR_MS = 2_000;
/** What takes minutes in production, within one demo. */
const POLICY = {
  heartbeatMs: 500,
  compensatorBackoffMs: 50,
  compensatorBackoffMaxMs: 500,
  compensatorDeadlineMs: 10_000,
} as const;

export interface RecoveryDemoOptions {
  /** Leave the members' folders in place. */
  readonly keep: boolean;
}

/** The last line of `quorate demo --scenario recovery --json`. */
export interface RecoveryDemoResult extends StoryResult {
  readonly ok: boolean;
  readonly scenario: 'recovery';
  /** On record in the ledger, of both attempts. */
  readonly effects: number;
  readonly compensated: number;
  /** Effects or compensations that had effect more than once, by the provider's record. */
  readonly ranTwice: number;
  readonly durationMs: number;
  readonly ledger: readonly EffectLine[];
}

/** A loop with documents, in a cluster that acts by itself within seconds. */
async function prepare(client: QuorateClient, session: Session, signal: AbortSignal): Promise<void> {
  await until(async () => ((await client.featureLevel()).level >= FEATURE_LEVEL ? true : null), {
    what: 'the members agree on a feature level',
    timeoutMs: DEADLINE_MS,
    signal,
  });
  await session.setPolicy(POLICY);
  // A new leader's detector holds still for one heartbeat interval; this one has begun with that of the default policy.
  await client.transferLeadership();
  const phases = ['ANALYZE', 'CONSTRUCT', 'VALIDATE'].map((name) => ({ name, priorMs: PRIOR_MS, slaMs: 0 }));
  await session.registerPlan({ name: PLAN, phases });
  await session.createLoop(LOOP, { plan: PLAN });
  for (const [name, content] of Object.entries(DOCUMENTS_BEFORE)) await session.documents.put(LOOP, name, content);
}

async function play(deps: DemoDeps, keep: boolean, cleanup: Cleanup): Promise<Omit<RecoveryDemoResult, 'durationMs'>> {
  const { view, signal } = deps;
  const provider = await Provider.start();
  cleanup.provider = provider;
  const cluster = await deps.startCluster(MEMBERS, cleanup.temporary('quorate-demo-', keep));
  cleanup.cluster = cluster;
  signal.throwIfAborted();
  view.event(`${MEMBERS} members run; the outside world is ${provider.url}`);
  const { endpoints } = cluster;
  await using client = await QuorateClient.connect({ endpoints, caller: 'demo', deadlineMs: DEADLINE_MS, signal });
  cleanup.client = client;
  await using session = await client.openSession({ ttlMs: SESSION_TTL_MS, signal });
  await prepare(client, session, signal);
  view.event(`timers are short, the loop has its documents; ${(await cluster.leader())?.id ?? 'nobody'} leads`);
  const onAgent = cleanup.agent.bind(cleanup);
  const construct = { loop: LOOP, g: 1, phase: 'CONSTRUCT' };
  const story = await new RecoveryStory({ ...deps, cluster, client, session, provider, onAgent }, construct).run();
  const problems = [...story.problems];
  const index = await waitForEqualState(client, MEMBERS, CATCH_UP_MS, signal);
  if (index === null) problems.push(`the members did not come to the same state in ${CATCH_UP_MS} ms`);
  else view.event(`all ${MEMBERS} members hold the same state at index ${index}, the killed one too`);
  const ledger = await effectLines(client, construct, provider.calls);
  problems.push(...effectProblems(ledger, provider));
  return {
    ...story,
    ok: problems.length === 0,
    scenario: 'recovery',
    effects: ledger.length,
    compensated: ledger.filter(({ state }) => state === 'COMPENSATED').length,
    ranTwice: ranTwice(ledger).length,
    ledger,
    problems,
  };
}

/** Rejects with the signal's reason when that fires. Leaves no process and, but for `keep`, no temporary folder behind. */
export function runRecoveryDemo({ keep }: RecoveryDemoOptions, deps: DemoDeps): Promise<RecoveryDemoResult> {
  const startedMs = performance.now();
  return runCleanly(deps, async (cleanup) => {
    const result = await play(deps, keep, cleanup);
    return { ...result, durationMs: Math.round(performance.now() - startedMs) };
  });
}
