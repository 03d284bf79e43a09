/** markAgent: what the leader has made of an agent's heartbeats (D3), and farewells. The heartbeats themselves are not replicated. */
import { clusterTimeMs } from '../../types/ids.ts';
import { NAME_LENGTH_MAX } from '../../types/limits.ts';
import { err, ok } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, reject } from '../context.ts';
import { noteIssue, openIssue, raiseAlert } from '../issue/issue.ts';
import { checkFeatureLevel, useFeatureLevel } from '../member/feature.ts';
import type { MachineState } from '../state.ts';
import { checkInteger, checkText, firstOf, invalid } from '../validate.ts';
import type { AgentRow } from './types.ts';

/** A prefix before the name, which is free text: so all keys lie below KEY_END. */
export const AGENT_PREFIX = 'agent';
export const agentKey = (agent: string): string => `${AGENT_PREFIX} ${agent}`;

export function markAgent(context: ApplyContext, body: BodyOf<'markAgent'>): Outcome {
  const { state, timeMs } = context;
  const { agent } = state.tables.domain;
  const bad = firstOf(
    checkFeatureLevel(state, 3),
    checkText('agent', body.agent, 1, NAME_LENGTH_MAX),
    checkInteger('seenAtMs', body.seenAtMs, 0, Number.MAX_SAFE_INTEGER),
    body.left && body.healthy ? invalid('left', 'Send left without healthy: who leaves is not heard any more.') : null,
  );
  if (bad !== null) return err(bad);
  const before = agent.get(agentKey(body.agent));
  if (body.left) return farewell(context, body.agent, before);
  if (before === null && agent.size >= state.limits.agentsMax) {
    return reject(
      'LIMIT_EXCEEDED',
      `Decommission agents that are gone: ${agent.size} are known, no more are allowed.`,
      {
        limit: state.limits.agentsMax,
      },
    );
  }

  useFeatureLevel(state, 3);
  const seenAtMs = clusterTimeMs(Math.max(before?.seenAtMs ?? 0, Math.min(body.seenAtMs, timeMs)));
  const changes = before?.healthy !== body.healthy;
  const changedAtMs = changes ? timeMs : (before?.changedAtMs ?? timeMs);
  let issue = before?.issue ?? 0;
  if (changes && body.healthy) {
    noteIssue(context, issue, { remediated: `${body.agent} is heard of again`, close: true });
    issue = 0;
  } else if (changes) {
    issue = agentDown(context, body.agent, timeMs - seenAtMs);
  }
  agent.put(agentKey(body.agent), { agent: body.agent, healthy: body.healthy, seenAtMs, changedAtMs, issue });
  if (changes) emitAgent(context, body.healthy ? 'agent.up' : 'agent.down', body.agent);
  return ok({ kind: 'agentMarked' });
}

/** What it still works on is left to its deadlines. An agent that nobody knows has nothing to take leave of. */
function farewell(context: ApplyContext, agent: string, before: AgentRow | null): Outcome {
  if (before === null) return ok({ kind: 'agentMarked' });
  useFeatureLevel(context.state, 3);
  noteIssue(context, before.issue, { remediated: `${agent} said farewell`, close: true });
  forgetAgent(context.state, agent);
  emitAgent(context, 'agent.left', agent);
  return ok({ kind: 'agentMarked' });
}

function emitAgent(context: ApplyContext, kind: 'agent.up' | 'agent.down' | 'agent.left', agent: string): void {
  context.emit({ kind, loop: '', g: 0, phase: '', attempt: 0, token: 0, outcome: agent, vectorClock: [] });
}

function agentDown(context: ApplyContext, agent: string, silentMs: number): number {
  const seen = [`${agent} was not heard of for ${silentMs} ms`];
  const issue = openIssue(context, { kind: 'AGENT_DOWN', loop: '', g: 0, phase: '', traceId: context.traceId, seen });
  raiseAlert(context, 'agent_down', issue, `${seen[0]}; what it works on is interrupted.`);
  return issue;
}

/** An agent that is gone for good makes room for others. */
export function forgetAgent(state: MachineState, agent: string): void {
  state.tables.domain.agent.delete(agentKey(agent));
}
