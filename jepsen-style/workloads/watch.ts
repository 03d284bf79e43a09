/**
 * Watches that are broken off and resumed, each at a member of its own for a while, beside a process that makes events. At the end a
 * watch over everything that the history still has is the reference.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { CompactedError, type PhaseRef, type QuorateClient, QuorateError } from '../../src/client/client.ts';
import { EVENT_HISTORY_MAX } from '../../src/types/limits.ts';
import type { Actor, History } from '../record/history.ts';
import { mutationFailure } from '../record/outcome.ts';
import { LONG_PHASE, LONG_PLAN, registerLongPlan } from './long-phase.ts';
import { CALL_MS, PATIENT_MS, type Running, type Workload, type WorkloadContext } from './types.ts';

const WATCHERS = 3;
const LOOP = 'watched';
/** The history keeps EVENT_HISTORY_MAX events, and no command of the workloads makes more than ten. */
const REVISIONS_KEPT_MIN = EVENT_HISTORY_MAX / 10;
/** A watcher stays with one stream for so long, milliseconds. */
const STAY_MS = [500, 6_000] as const;

interface Watcher {
  readonly id: string;
  /** First revision that is wanted next. */
  next: number;
  /** Everything before it has been delivered. */
  through: number;
}

/** One stream, until the signal fires or it is through `until`. */
async function follow(
  client: QuorateClient,
  watcher: Watcher,
  history: History,
  signal: AbortSignal,
  until = Infinity,
) {
  const over = new AbortController();
  const onRevision = (revision: number): void => {
    watcher.through = Math.max(watcher.through, revision);
    watcher.next = watcher.through + 1;
    if (watcher.through >= until) over.abort();
  };
  const options = {
    loop: LOOP,
    fromRevision: watcher.next,
    onRevision,
    signal: AbortSignal.any([signal, over.signal]),
  };
  history.note(watcher.id, 'info', 'resume', LOOP, { from: watcher.next });
  for await (const { revision, ordinal, kind } of client.watch(options))
    history.note(watcher.id, 'ok', 'event', LOOP, { revision, ordinal, kind });
}

/** The history does not go back so far any more. */
function skip(watcher: Watcher, history: History, { firstRevision }: CompactedError): void {
  history.note(watcher.id, 'info', 'compacted', LOOP, { firstRevision });
  watcher.next = Math.max(watcher.next, firstRevision);
}

/** Everything up to `revision` that the history still has: of a long run the beginning is gone, for the reference above all. */
async function catchUp(client: QuorateClient, watcher: Watcher, history: History, revision: number): Promise<void> {
  const signal = AbortSignal.timeout(PATIENT_MS);
  while (watcher.through < revision && !signal.aborted) {
    try {
      await follow(client, watcher, history, signal, revision);
    } catch (error) {
      if (!(error instanceof CompactedError)) throw error;
      const kept = revision - error.firstRevision;
      if (kept < REVISIONS_KEPT_MIN) throw new Error(`the history goes back ${kept} revisions only`, { cause: error });
      skip(watcher, history, error);
    }
  }
}

async function setUp(context: WorkloadContext): Promise<Running> {
  const { history, random, connect } = context;
  const client = await connect('watch');
  await registerLongPlan(client);
  const created = await client.withoutSession.createLoop(LOOP, { plan: LONG_PLAN, deadlineMs: PATIENT_MS });
  const ref: PhaseRef = { loop: LOOP, g: 1, phase: LONG_PHASE };
  const watchers = Array.from({ length: WATCHERS }, (_, i) => ({
    id: `watcher-${i}`,
    next: created.revision,
    through: created.revision - 1,
  }));
  const clients = await Promise.all(watchers.map(({ id }) => connect(id)));
  let attempt = 0;

  /** Every takeover of a run is an event, or several. */
  const produce = async (actor: Actor): Promise<void> => {
    const begun = history.invoke(actor.process, 'begin', LOOP, { supersede: attempt });
    try {
      const answer = await client.withoutSession.beginPhase(ref, { supersedeAttempt: attempt, deadlineMs: CALL_MS });
      attempt = answer.attempt;
      history.end(begun, 'ok', { attempt, revision: answer.revision });
    } catch (error) {
      const { type, error: reason } = mutationFailure(error);
      history.end(begun, type, begun.value, reason);
      if (type === 'info') actor.renumber();
      const { run } = await client.getPhaseRun(ref, { deadlineMs: CALL_MS }).catch(() => ({ run: { attempt } }));
      attempt = run.attempt;
    }
  };

  const watch = async (thread: number): Promise<void> => {
    const watcher = watchers[thread];
    const own = clients[thread];
    if (watcher === undefined || own === undefined) return;
    try {
      await follow(own, watcher, history, AbortSignal.timeout(random.between(...STAY_MS)));
    } catch (error) {
      if (error instanceof CompactedError) {
        skip(watcher, history, error);
        return;
      }
      if (!(error instanceof QuorateError)) throw error;
      history.note(watcher.id, 'info', 'broken', LOOP, { reason: error.reason });
      await delay(random.between(50, 500));
    }
  };

  return {
    step: (actor) => (actor.thread < WATCHERS ? watch(actor.thread) : produce(actor)),
    finish: async () => {
      const { revision } = await client.withoutSession.beginPhase(ref, {
        supersedeAttempt: await newest(client, ref),
        deadlineMs: PATIENT_MS,
      });
      const reference: Watcher = { id: 'reference', next: created.revision, through: created.revision - 1 };
      for (const [i, watcher] of [...watchers, reference].entries()) {
        const own = clients[i] ?? client;
        await catchUp(own, watcher, history, revision);
        if (watcher.through < revision)
          throw new Error(`${watcher.id} came to ${watcher.through} only, not to ${revision}`);
        history.note(watcher.id, 'info', 'caught-up', LOOP, { revision: watcher.through });
      }
    },
  };
}

async function newest(client: QuorateClient, ref: PhaseRef): Promise<number> {
  return (await client.getPhaseRun(ref, { deadlineMs: PATIENT_MS })).run.attempt;
}

export const WATCH: Workload = {
  name: 'watch',
  describe: 'watches that are broken off and resumed while events are made',
  threads: WATCHERS + 1,
  setUp,
};
