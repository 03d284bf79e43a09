import { fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commandFromMessage, commandToMessage, decodeCommand, encodeCommand } from '../../src/codec/command.ts';
import { decodeCommandResult, encodeCommandResult } from '../../src/codec/command-result.ts';
import { fromPeerEnvelope, toPeerEnvelope } from '../../src/codec/envelope.ts';
import { DecodeFaults, toSafeNumber, toUint64 } from '../../src/codec/number.ts';
import { CommandSchema } from '../../src/gen/quorate/internal/v1/log_pb.ts';
import { type PeerEnvelope, PeerEnvelopeSchema, type RaftMessage } from '../../src/gen/quorate/internal/v1/peer_pb.ts';
import type { Command } from '../../src/machine/types.ts';
import type { Envelope } from '../../src/node/types.ts';
import type { Entry, Message } from '../../src/raft/types.ts';
import { must } from '../../src/types/assert.ts';
import { clusterTimeMs, DATA_STREAM, type LogIndex, logIndex, memberId, sessionId, term } from '../../src/types/ids.ts';
import { command, commandResult, envelope } from './arbitraries.ts';

const OVER = 2n ** 53n;

describe('numbers', () => {
  it('takes what is safe and nothing else', () => {
    expect([0n, 1n, OVER - 1n].map(toSafeNumber)).toEqual([0, 1, Number.MAX_SAFE_INTEGER]);
    expect([OVER, 2n ** 64n - 1n, -1n].map(toSafeNumber)).toEqual([null, null, null]);
  });

  it('calls an unsafe number of our own a bug', () => {
    for (const value of [-1, 0.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY]) {
      expect(() => toUint64(value)).toThrow('safe');
    }
  });

  it('reports the first fault and goes on with a stand-in', () => {
    const faults = new DecodeFaults();
    expect(faults.number('a', 7n)).toBe(7);
    expect(faults.first).toBeNull();
    expect(faults.number('b', OVER)).toBe(0);
    expect(faults.number('c', 0n, 1)).toBe(0);
    expect(faults.first).toBe('b is 9007199254740992, outside 0 to 2^53 - 1');
  });
});

describe('commands', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(command, (before) => {
        expect(decodeCommand(encodeCommand(before))).toEqual({ ok: true, value: before });
      }),
    );
  });

  it('have one encoding', () => {
    fc.assert(
      fc.property(command, (before) => {
        const bytes = encodeCommand(before);
        const after = decodeCommand(bytes);
        if (after.ok) expect(encodeCommand(after.value)).toEqual(bytes);
        expect(after.ok).toBe(true);
      }),
    );
  });

  it('never throw on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const decoded = decodeCommand(bytes);
        if (!decoded.ok) expect(decoded.error).not.toBe('');
      }),
    );
  });

  it('never throw on bytes with a flipped bit or cut short', () => {
    fc.assert(
      fc.property(command, fc.nat(), fc.nat(7), (before, at, bit) => {
        const bytes = encodeCommand(before);
        const i = at % bytes.length;
        const flipped = Uint8Array.from(bytes, (byte, j) => (j === i ? byte ^ (1 << bit) : byte));
        decodeCommand(flipped);
        decodeCommand(bytes.subarray(0, i));
      }),
    );
  });

  const plain: Command = {
    timeMs: clusterTimeMs(5),
    session: null,
    caller: 'c',
    traceId: 't',
    body: { kind: 'createLoop', loop: 'l', plan: '' },
  };

  it('of a later version ask for an upgrade', () => {
    const bytes = toBinary(CommandSchema, { ...commandToMessage(plain), version: 2 });
    expect(decodeCommand(bytes)).toEqual({ ok: false, error: expect.stringContaining('upgrade this member') });
    expect(decodeCommand(new Uint8Array())).toEqual({ ok: false, error: expect.stringContaining('version 0') });
  });

  it('with a body of a later release ask for an upgrade', () => {
    // Field 1000, length-delimited, empty: a body that no release knows yet.
    const known = toBinary(CommandSchema, { ...commandToMessage(plain), body: { case: undefined } });
    const decoded = decodeCommand(Uint8Array.of(...known, 0xc2, 0x3e, 0x00));
    expect(decoded).toEqual({ ok: false, error: expect.stringContaining('upgrade this member') });
  });

  it.each([
    ['a time beyond 2^53', { timeMs: OVER }, 'time_ms'],
    ['a session beyond 2^53', { sessionId: OVER, sequence: 1n }, 'session_id'],
    ['a sequence without a session', { sequence: 1n }, 'sequence without session_id'],
  ])('are refused with %s', (_, change, error) => {
    const decoded = commandFromMessage({ ...commandToMessage(plain), ...change });
    expect(decoded).toEqual({ ok: false, error: expect.stringContaining(error) });
  });

  it.each([
    ['not sorted', [clockEntry('b', 1n), clockEntry('a', 1n)], 'not sorted'],
    ['double', [clockEntry('a', 1n), clockEntry('a', 2n)], 'not sorted'],
    ['from 0', [clockEntry('a', 0n)], 'counter'],
  ])('are refused with a vector clock that is %s', (_, vectorClock, error) => {
    const message = commandToMessage({
      ...plain,
      session: { id: sessionId(1), sequence: 1, ackedThrough: 0 },
      body: { kind: 'beginPhase', ref: { loop: 'l', g: 1, phase: 'p' }, supersedeAttempt: 0, vectorClock: [] },
    });
    if (message.body.case === 'beginPhase') message.body.value.vectorClock = vectorClock;
    expect(commandFromMessage(message)).toEqual({ ok: false, error: expect.stringContaining(error) });
  });
});

describe('answers', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(commandResult, (before) => {
        expect(decodeCommandResult(encodeCommandResult(before))).toEqual({ ok: true, value: before });
      }),
    );
  });

  it('are refused when a field is missing or of the wrong type', () => {
    fc.assert(
      fc.property(commandResult, fc.nat(), fc.constantFrom(undefined, null, -1, {}, 0.5), (before, pick, wrong) => {
        const broken = structuredClone(before) as unknown as Record<string, unknown>;
        const inner = (broken.value ?? broken.rejection) as Record<string, unknown>;
        const [target, keys] = pick % 2 === 0 ? [broken, Object.keys(broken)] : [inner, Object.keys(inner)];
        target[keys[pick % keys.length] as string] = wrong;
        // A map may well be empty.
        fc.pre(!(inner.details === wrong && typeof wrong === 'object' && wrong !== null));
        expect(decodeCommandResult(JSON.stringify(broken)).ok).toBe(false);
      }),
    );
  });

  it.each([
    '',
    'null',
    '[]',
    '7',
    '{"ok":true}',
    '{"ok":1,"revision":1}',
    '{"ok":true,"revision":1,"value":{"kind":"toString"}}',
  ])('refuse %s', (text) => {
    expect(decodeCommandResult(text).ok).toBe(false);
  });
});

describe('envelopes', () => {
  it('come back as they were, over the wire', () => {
    fc.assert(
      fc.property(envelope, (before) => {
        const bytes = toBinary(PeerEnvelopeSchema, toPeerEnvelope(before));
        expect(fromPeerEnvelope(fromBinary(PeerEnvelopeSchema, bytes))).toEqual({ ok: true, value: before });
      }),
      { numRuns: 300 },
    );
  });

  it('never throw on any message that decodes', () => {
    fc.assert(
      fc.property(envelope, fc.nat(), fc.nat(7), (before, at, bit) => {
        const bytes = toBinary(PeerEnvelopeSchema, toPeerEnvelope(before));
        const i = at % bytes.length;
        let message: PeerEnvelope;
        try {
          message = fromBinary(
            PeerEnvelopeSchema,
            Uint8Array.from(bytes, (byte, j) => (j === i ? byte ^ (1 << bit) : byte)),
          );
        } catch {
          return;
        }
        fromPeerEnvelope(message);
      }),
      { numRuns: 300 },
    );
  });

  it('share the payload with the core when encoded, and with the frame when decoded', () => {
    const payload = Uint8Array.of(1, 2, 3);
    const message = toPeerEnvelope(appendOf([entry(1, 1, payload)]));
    expect(entriesOf(message)[0]?.payload).toBe(payload);
    const bytes = toBinary(PeerEnvelopeSchema, message);
    expect(entriesOf(fromBinary(PeerEnvelopeSchema, bytes))[0]?.payload.buffer).toBe(bytes.buffer);
  });

  it.each<readonly [string, (raft: RaftMessage) => object, string]>([
    ['a sender without a name', (raft) => Object.assign(raft, { from: '' }), 'from is no member id'],
    ['a receiver that is no name', (raft) => Object.assign(raft, { to: 'A B' }), 'to is no member id'],
    ['a term beyond 2^53', (raft) => Object.assign(raft, { term: OVER }), 'term'],
    ['no body', (raft) => Object.assign(raft, { body: { case: undefined } }), 'without a body'],
    ['an entry of term 0', (raft) => Object.assign(firstEntry(raft), { term: 0n }), 'entries.term'],
    ['falling terms', (raft) => Object.assign(appendBody(raft), { prevLogTerm: 3n }), 'falls along the log'],
    ["an entry above the leader's term", (raft) => Object.assign(raft, { term: 0n }), "passes the leader's"],
    ['an unknown kind of entry', (raft) => Object.assign(firstEntry(raft), { kind: 9 }), 'kind 9'],
    ['an index beyond 2^53', (raft) => Object.assign(appendBody(raft), { prevLogIndex: OVER - 1n }), 'pass index'],
    ['a commit beyond 2^53', (raft) => Object.assign(appendBody(raft), { leaderCommit: OVER }), 'leader_commit'],
  ])('are refused with %s', (_, spoil, error) => {
    const message = toPeerEnvelope(appendOf([entry(1, 1, new Uint8Array())]));
    if (message.body.case === 'raft') spoil(message.body.value);
    expect(fromPeerEnvelope(message)).toEqual({ ok: false, error: expect.stringContaining(error) });
  });

  it.each<readonly [string, PeerEnvelope['body'], string]>([
    ['no body', { case: undefined }, 'without a body'],
    ['a forwarded nothing', { case: 'forwardRequest', value: { ...forwardRequest(), command: undefined } }, 'command'],
    [
      'a request id beyond 2^53',
      { case: 'forwardRequest', value: { ...forwardRequest(), requestId: OVER } },
      'request_id',
    ],
    ['no outcome', forwardResponse({ case: undefined }), 'without an outcome'],
    ['a reason of its own', forwardResponse(refusedWith({ reason: 'BORED' })), 'reason is unknown'],
    ['a leader that is no name', forwardResponse(refusedWith({ leader: '?' })), 'leader is no member id'],
    ['a result that is no JSON', forwardResponse(appliedWith({ result: '{' })), 'not JSON'],
    ['an index of 0', forwardResponse(appliedWith({ index: 0n })), 'applied.index'],
  ])('are refused with %s', (_, body, error) => {
    const message = { $typeName: 'quorate.internal.v1.PeerEnvelope', streamId: 1, body } as const;
    expect(fromPeerEnvelope(message)).toEqual({ ok: false, error: expect.stringContaining(error) });
  });
});

// ------------------------------------------------------------------------------------------------ builders

function clockEntry(node: string, counter: bigint) {
  return { $typeName: 'quorate.internal.v1.ClockEntry', node, counter } as const;
}

function entry(index: number, atTerm: number, payload: Uint8Array): Entry {
  return { index: logIndex(index), term: term(atTerm), kind: 'command', payload };
}

function appendOf(entries: readonly Entry[]): Envelope {
  const message: Message = {
    kind: 'appendRequest',
    from: memberId('a'),
    to: memberId('b'),
    term: term(1),
    prevLogIndex: 0 as LogIndex,
    prevLogTerm: term(0),
    entries,
    leaderCommit: logIndex(0),
  };
  return { kind: 'raft', stream: DATA_STREAM, message };
}

function appendBody(raft: RaftMessage) {
  if (raft.body.case !== 'appendRequest') throw new Error('not an append');
  return raft.body.value;
}

function firstEntry(raft: RaftMessage): object {
  return must(appendBody(raft).entries[0], 'an entry');
}

function entriesOf(message: PeerEnvelope) {
  if (message.body.case !== 'raft') throw new Error('not a raft message');
  return appendBody(message.body.value).entries;
}

type Forward<Case extends 'forwardRequest' | 'forwardResponse'> = Extract<PeerEnvelope['body'], { case: Case }>;
type ForwardOutcome = Forward<'forwardResponse'>['value']['outcome'];
type Fields<Case extends 'applied' | 'refused'> = Partial<Extract<ForwardOutcome, { case: Case }>['value']>;

function forwardRequest(): Forward<'forwardRequest'>['value'] {
  const request = {
    session: null,
    caller: '',
    traceId: '',
    body: { kind: 'createLoop', loop: 'l', plan: '' },
  } as const;
  const { body } = toPeerEnvelope({
    kind: 'forwardRequest',
    stream: DATA_STREAM,
    requestId: 1,
    deadlineMs: 1,
    request,
  });
  if (body.case !== 'forwardRequest') throw new Error('not a forwarded request');
  return body.value;
}

function forwardResponse(outcome: ForwardOutcome): PeerEnvelope['body'] {
  const value = { $typeName: 'quorate.internal.v1.ForwardResponse', requestId: 1n, outcome } as const;
  return { case: 'forwardResponse', value };
}

function refusedWith(fields: Fields<'refused'>): ForwardOutcome {
  const base = {
    $typeName: 'quorate.internal.v1.ForwardRefused',
    reason: 'NOT_LEADER',
    leader: '',
    message: '',
    noSpace: false,
  } as const;
  return { case: 'refused', value: { ...base, ...fields } };
}

function appliedWith(fields: Fields<'applied'>): ForwardOutcome {
  const result = encodeCommandResult({ ok: true, revision: 1 as never, value: { kind: 'sessionKept' } });
  const base = {
    $typeName: 'quorate.internal.v1.ForwardApplied',
    index: 1n,
    term: 1n,
    replayed: false,
    result,
  } as const;
  return { case: 'applied', value: { ...base, ...fields } };
}
