/** A cluster that does nothing by itself while it is sent what must change nothing. */
import { AlertState, ListAlertsResponseSchema } from '../../src/gen/quorate/v1/issue_pb.ts';
import { GetFeatureLevelResponseSchema } from '../../src/gen/quorate/v1/maintenance_pb.ts';
import { ListAgentsResponseSchema } from '../../src/gen/quorate/v1/recovery_pb.ts';
import { waitFor } from '../process/wait.ts';
import { type Answer, decoded } from './caller.ts';
import { QUIET_POLICY } from './recovery-rows.ts';

type Send = (method: string, request: object) => Promise<Answer>;

/** It is at the highest feature level, which it reaches by itself, and nothing is overdue for a day. */
export async function quiet(send: Send): Promise<void> {
  const level = async () => decoded(await send('GetFeatureLevel', {}), GetFeatureLevelResponseSchema).level;
  await waitFor(async () => (await level()) === 3, 20_000, 'feature level 3');
  const answer = await send('SetPolicy', { values: QUIET_POLICY });
  if (!answer.ok) throw new Error(`the policy was not set: ${answer.message}`);
}

/** Agents that were heard are on record, and alerts are settled. */
export async function atRest(send: Send): Promise<void> {
  const done = async () => {
    const { agents } = decoded(await send('ListAgents', {}), ListAgentsResponseSchema);
    const { alerts } = decoded(await send('ListAlerts', {}), ListAlertsResponseSchema);
    return agents.length > 0 && alerts.every(({ state }) => state !== AlertState.PENDING);
  };
  await waitFor(done, 20_000, 'agents are marked, and alerts are settled');
}
