/** Which handler carries out which command. One file for each; nothing but this table knows them all. */
import { assert, InvariantError } from '../types/assert.ts';
import { ok } from '../types/result.ts';
import { availabilityHandlers } from './availability/handlers.ts';
import type { ApplyContext, Handler, Outcome } from './context.ts';
import { detectionHandlers } from './detection/handlers.ts';
import { documentHandlers } from './document/handlers.ts';
import { issueHandlers } from './issue/handlers.ts';
import { ledgerHandlers } from './ledger/handlers.ts';
import { changeMembers } from './member/change.ts';
import { setFeatureLevel } from './member/feature.ts';
import { overrideHandlers } from './override/handlers.ts';
import { abortPhase } from './phase/abort.ts';
import { beginPhase } from './phase/begin.ts';
import { commitPhase } from './phase/commit.ts';
import { createLoop } from './phase/loop.ts';
import { registerPlan } from './phase/plan.ts';
import { reportProgress } from './phase/progress.ts';
import { recoveryHandlers } from './recovery/handlers.ts';
import { closeSession, keepAliveSession, openSession } from './session.ts';
import type { CommandBody, CommandKind } from './types.ts';

const HANDLERS: { readonly [K in CommandKind]: Handler<K> } = {
  // Time was brought forward and due timers were run before any command is looked at.
  advanceTime: () => ok({ kind: 'timeAdvanced' }),
  changeMembers,
  setFeatureLevel,
  openSession,
  keepAliveSession,
  closeSession,
  registerPlan,
  createLoop,
  beginPhase,
  reportProgress,
  commitPhase,
  abortPhase,
  ...availabilityHandlers,
  ...detectionHandlers,
  ...documentHandlers,
  ...issueHandlers,
  ...ledgerHandlers,
  ...overrideHandlers,
  ...recoveryHandlers,
};

const BY_KIND: ReadonlyMap<string, (context: ApplyContext, body: never) => Outcome> = new Map(Object.entries(HANDLERS));

/** Carries a command out, or rejects it without any change. A kind that this version does not know stops the member. */
export function dispatch(context: ApplyContext, body: CommandBody): Outcome {
  const { counter } = context.state.tables;
  const writes = counter.writes;
  const handler = BY_KIND.get(body.kind);
  if (handler === undefined) {
    throw new InvariantError(`no handler for command ${body.kind}: this member is older than the entry`);
  }
  const outcome = handler(context, body as never);
  assert(outcome.ok || counter.writes === writes, 'a rejected command changes nothing');
  return outcome;
}
