/** Any command, answer, raft message and envelope that the domain's types allow. */
import fc from 'fast-check';
import type {
  Command,
  CommandBody,
  CommandResult,
  CommandValue,
  MemberChange,
  PhaseRef,
  RejectReason,
  SessionRef,
  VectorClock,
} from '../../src/machine/types.ts';
import type { Envelope, MutationOutcome } from '../../src/node/types.ts';
import type { Configuration, Entry, EntryKind, Message, SnapshotMark } from '../../src/raft/types.ts';
import {
  type ClusterTimeMs,
  type FencingToken,
  type LogIndex,
  type MemberId,
  memberId,
  type Revision,
  type SessionId,
  type StreamId,
  type Term,
} from '../../src/types/ids.ts';
import { domainBodies, domainValues } from './domain-arbitraries.ts';

type Bodies = { readonly [Kind in CommandBody['kind']]: fc.Arbitrary<Extract<CommandBody, { kind: Kind }>> };
type Values = { readonly [Kind in CommandValue['kind']]: fc.Arbitrary<Extract<CommandValue, { kind: Kind }>> };
type Messages = { readonly [Kind in Message['kind']]: fc.Arbitrary<Extract<Message, { kind: Kind }>> };

/** Any safe integer, with the edges often. */
const count = fc.oneof(
  { weight: 4, arbitrary: fc.maxSafeNat() },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, 127, 128, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER) },
);
const positive = count.map((n) => Math.max(1, n));
/** Well-formed Unicode, the empty text included: text from a client was UTF-8. */
const text = fc.string({ unit: 'grapheme', maxLength: 200 });
const index = count as fc.Arbitrary<LogIndex>;
const term = count as fc.Arbitrary<Term>;
const token = count as fc.Arbitrary<FencingToken>;
const revision = count as fc.Arbitrary<Revision>;
const member: fc.Arbitrary<MemberId> = fc.constantFrom('a', 'node-1', 'z9').map(memberId);
const stream = fc.nat(2 ** 32 - 1) as fc.Arbitrary<StreamId>;
const of = <Kind extends string>(kind: Kind): fc.Arbitrary<Kind> => fc.constant(kind);

const clock: fc.Arbitrary<VectorClock> = fc
  .uniqueArray(fc.tuple(text, positive), { selector: ([node]) => node, maxLength: 8 })
  .map((entries) => entries.sort(([a], [b]) => (a < b ? -1 : 1)));

const ref: fc.Arbitrary<PhaseRef> = fc.record({ loop: text, g: count, phase: text });

const memberChange: fc.Arbitrary<MemberChange> = fc.oneof(
  fc.record({
    kind: of('add'),
    member,
    peerAddress: text,
    clientAddress: text,
    incarnation: text,
    role: fc.constantFrom('voter' as const, 'learner' as const),
    replaces: fc.oneof(member, fc.constant('' as const)),
  }),
  fc.record({ kind: of('promote'), member }),
  fc.record({ kind: of('remove'), member }),
);

const parts = { count, text, clock, ref };

const BODIES: Bodies = {
  ...domainBodies(parts),
  advanceTime: fc.record({ kind: of('advanceTime') }),
  openSession: fc.record({ kind: of('openSession'), ttlMs: count }),
  keepAliveSession: fc.record({ kind: of('keepAliveSession') }),
  closeSession: fc.record({ kind: of('closeSession') }),
  registerPlan: fc.record({
    kind: of('registerPlan'),
    plan: text,
    phases: fc.array(fc.record({ name: text, priorMs: count, slaMs: count }), { maxLength: 8 }),
  }),
  createLoop: fc.record({ kind: of('createLoop'), loop: text, plan: text }),
  beginPhase: fc.record({ kind: of('beginPhase'), ref, supersedeAttempt: count, vectorClock: clock }),
  reportProgress: fc.record({
    kind: of('reportProgress'),
    ref,
    token,
    completed: count,
    total: count,
    note: text,
    subSteps: fc.array(fc.record({ id: text, result: text }), { maxLength: 8 }),
    checkpoint: fc.option(text),
  }),
  commitPhase: fc.record({ kind: of('commitPhase'), ref, token, result: text, vectorClock: clock }),
  abortPhase: fc.record({
    kind: of('abortPhase'),
    ref,
    token,
    reason: text,
    hardFail: fc.boolean(),
    vectorClock: clock,
  }),
  changeMembers: fc.record({ kind: of('changeMembers'), changes: fc.array(memberChange, { maxLength: 7 }) }),
  setFeatureLevel: fc.record({ kind: of('setFeatureLevel'), level: fc.nat(2 ** 32 - 1), pinned: fc.boolean() }),
};

const body: fc.Arbitrary<CommandBody> = fc.oneof(...Object.values(BODIES));

const session: fc.Arbitrary<SessionRef> = fc.record({
  id: positive as fc.Arbitrary<SessionId>,
  sequence: count,
  ackedThrough: count,
});

const request = { session: fc.option(session), caller: text, traceId: text, body };

export const command: fc.Arbitrary<Command> = fc.record({ timeMs: count as fc.Arbitrary<ClusterTimeMs>, ...request });

const VALUES: Values = {
  ...domainValues(parts),
  membersChanged: fc.record({ kind: of('membersChanged') }),
  featureLevelSet: fc.record({ kind: of('featureLevelSet'), level: count }),
  timeAdvanced: fc.record({ kind: of('timeAdvanced') }),
  sessionOpened: fc.record({
    kind: of('sessionOpened'),
    sessionId: count as fc.Arbitrary<SessionId>,
    ttlMs: count,
  }),
  sessionKept: fc.record({ kind: of('sessionKept') }),
  sessionClosed: fc.record({ kind: of('sessionClosed') }),
  planRegistered: fc.record({ kind: of('planRegistered'), plan: text }),
  loopCreated: fc.record({ kind: of('loopCreated'), loop: text, g: count }),
  phaseBegun: fc.record({
    kind: of('phaseBegun'),
    attempt: count,
    token,
    subStepsDone: count,
    checkpoint: text,
    vectorClock: clock,
  }),
  progressReported: fc.record({
    kind: of('progressReported'),
    subStepsRecorded: count,
    subStepsKnown: fc.array(text, { maxLength: 5 }),
  }),
  phaseCommitted: fc.record({ kind: of('phaseCommitted'), g: count, nextG: count, vectorClock: clock }),
  phaseAborted: fc.record({ kind: of('phaseAborted'), nextG: count, vectorClock: clock }),
};

const reason = fc.constantFrom<RejectReason>('STALE_FENCE', 'BARRIER_CLOSED', 'SESSION_SEQUENCE_FORGOTTEN');

export const commandResult: fc.Arbitrary<CommandResult> = fc.oneof(
  fc.record({ ok: fc.constant(true as const), revision, value: fc.oneof(...Object.values(VALUES)) }),
  fc.record({
    ok: fc.constant(false as const),
    revision,
    rejection: fc.record({
      reason,
      message: text,
      details: fc.dictionary(fc.constantFrom('g', 'loop', 'limit'), text, { noNullPrototype: true }),
    }),
  }),
);

/** A monotonic clock, with fractions of a millisecond. */
const timeMs = fc.double({ min: 0, max: 2 ** 50, noNaN: true });
const head = { from: member, to: member, term };
const lastLog = { lastLogIndex: index, lastLogTerm: term };

/** Terms rise along the log and end at the leader's, indexes follow one another. */
const appendRequest: Messages['appendRequest'] = fc
  .record({
    from: member,
    to: member,
    prev: fc.nat(2 ** 40),
    prevTerm: fc.nat(1000),
    rises: fc.array(fc.nat(3), { maxLength: 20 }),
    kinds: fc.infiniteStream(fc.constantFrom<EntryKind>('noop', 'command', 'configuration')),
    payloads: fc.infiniteStream(fc.uint8Array({ maxLength: 300 })),
    leaderCommit: index,
  })
  .map(({ from, to, prev, prevTerm, rises, kinds, payloads, leaderCommit }) => {
    let last = Math.max(1, prevTerm);
    const entries: Entry[] = rises.map((rise, i) => {
      last += rise;
      const kind = kinds.next().value;
      const payload = payloads.next().value;
      return { index: (prev + 1 + i) as LogIndex, term: last as Term, kind, payload };
    });
    return {
      kind: 'appendRequest',
      from,
      to,
      term: last as Term,
      prevLogIndex: prev as LogIndex,
      prevLogTerm: prevTerm as Term,
      entries,
      leaderCommit,
    };
  });

const blank = { granted: fc.constant(false), blank: fc.constant(true as const) };

const MESSAGES: Messages = {
  preVoteRequest: fc.record({ kind: of('preVoteRequest'), ...head, ...lastLog }),
  preVoteResponse: fc.oneof(
    fc.record({ kind: of('preVoteResponse'), ...head, granted: fc.boolean() }),
    fc.record({ kind: of('preVoteResponse'), ...head, ...blank }),
  ),
  voteRequest: fc.record({ kind: of('voteRequest'), ...head, ...lastLog, leadershipTransfer: fc.boolean() }),
  voteResponse: fc.oneof(
    fc.record({ kind: of('voteResponse'), ...head, granted: fc.boolean() }),
    fc.record({ kind: of('voteResponse'), ...head, ...blank }),
  ),
  appendRequest,
  appendResponse: fc.record({
    kind: of('appendResponse'),
    ...head,
    outcome: fc.oneof(
      fc.record({ kind: of('accepted'), matchIndex: index }),
      fc.record({ kind: of('rejected'), prevLogIndex: index, hintIndex: index, hintTerm: term }),
    ),
  }),
  heartbeatRequest: fc.record({
    kind: of('heartbeatRequest'),
    ...head,
    leaderCommit: index,
    readSequence: count,
    sentMs: timeMs,
  }),
  heartbeatResponse: fc.record({ kind: of('heartbeatResponse'), ...head, readSequence: count, sentMs: timeMs }),
  readIndexRequest: fc.record({ kind: of('readIndexRequest'), ...head, requestId: count }),
  readIndexResponse: fc.record({
    kind: of('readIndexResponse'),
    ...head,
    requestId: count,
    readIndex: fc.option(index),
  }),
  timeoutNow: fc.record({ kind: of('timeoutNow'), ...head }),
  recoverRequest: fc.record({ kind: of('recoverRequest'), ...head, nonce: count }),
  recoverResponse: fc.record({
    kind: of('recoverResponse'),
    ...head,
    nonce: count,
    lastIndex: fc.option(index),
    recovering: fc.boolean(),
  }),
};

export const raftMessage: fc.Arbitrary<Message> = fc.oneof(...Object.values(MESSAGES));

const outcome: fc.Arbitrary<MutationOutcome> = fc.oneof(
  fc.record({
    kind: of('applied'),
    index: positive as fc.Arbitrary<LogIndex>,
    term: positive as fc.Arbitrary<Term>,
    replayed: fc.boolean(),
    result: commandResult,
  }),
  fc.record({
    kind: of('refused'),
    reason: fc.constantFrom(
      'NOT_LEADER',
      'OVERLOADED',
      'NO_QUORUM',
      'SHUTTING_DOWN',
      'TOO_LARGE',
      'NO_SPACE',
      'FEATURE_LEVEL_TOO_LOW',
    ),
    leader: fc.option(member),
    retryAfterMs: fc.option(count),
    message: text,
  }),
  fc.record({ kind: of('indeterminate'), message: text }),
);

const ids = fc
  .uniqueArray(fc.constantFrom('a', 'b', 'node-1', 'node-10', 'node-2', 'z9'), { maxLength: 6 })
  .map((names) => names.sort().map(memberId));

/** Simple or joint; a learner may be an outgoing voter, never a voter. */
export const configuration: fc.Arbitrary<Configuration> = fc
  .record({ voters: ids, votersOutgoing: ids, learners: ids })
  .filter(({ voters }) => voters.length > 0)
  .map(({ voters, votersOutgoing, learners }) => ({
    voters,
    votersOutgoing,
    learners: learners.filter((id) => !voters.includes(id)),
  }));

const mark: fc.Arbitrary<SnapshotMark> = fc
  .record({ index: positive, term: positive, back: fc.nat(1000), configuration })
  .map(({ index: at, term: of, back, configuration: members }) => ({
    index: at as LogIndex,
    term: of as Term,
    configuration: { index: Math.max(0, at - back) as LogIndex, configuration: members },
  }));

const snapshotChunk = fc
  .record({
    kind: of('snapshotChunk'),
    stream,
    transferId: count,
    rise: fc.nat(5),
    mark,
    sequence: count,
    last: fc.boolean(),
    data: fc.uint8Array({ maxLength: 300 }),
  })
  .map(({ rise, ...chunk }) => ({
    ...chunk,
    term: Math.min(chunk.mark.term + rise, Number.MAX_SAFE_INTEGER) as Term,
  }));

const hash = fc.stringMatching(/^[0-9a-f]{32}$/);

const duration = fc.double({ min: 0, max: 1e9, noNaN: true }).map((ms) => ms + 0);

export const envelope: fc.Arbitrary<Envelope> = fc.oneof(
  snapshotChunk,
  fc.record({
    kind: of('snapshotAck'),
    stream,
    transferId: count,
    next: count,
    outcome: fc.constantFrom('continue', 'installed', 'refused'),
  }),
  fc.record({ kind: of('stateHash'), stream, index, hash: fc.option(hash) }),
  fc.record({ kind: of('ackTimes'), stream, samplesMs: fc.array(duration, { maxLength: 256 }), pendingMs: duration }),
  fc.record({ kind: of('raft'), stream, message: raftMessage }),
  fc.record({
    kind: of('forwardRequest'),
    stream,
    requestId: count,
    deadlineMs: count,
    request: fc.oneof(
      fc.record(request),
      fc.record({ ...request, client: fc.constantFrom('127.0.0.1:40123', '[::1]:7') }),
    ),
  }),
  fc.record({ kind: of('forwardResponse'), stream, requestId: count, outcome }),
);
