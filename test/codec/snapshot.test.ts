/** R4, R7, R3: images, state hashes and the times of heartbeats on the wire. */
import { toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromPeerEnvelope, toPeerEnvelope } from '../../src/codec/envelope.ts';
import { envelopeBytes } from '../../src/codec/envelope-size.ts';
import { PeerEnvelopeSchema } from '../../src/gen/quorate/internal/v1/peer_pb.ts';
import type { Envelope } from '../../src/node/types.ts';
import type { Message } from '../../src/raft/types.ts';
import { DATA_STREAM, logIndex, memberId, term } from '../../src/types/ids.ts';
import { envelope } from './arbitraries.ts';

function chunk(): Envelope {
  const configuration = { voters: [memberId('a'), memberId('b')], votersOutgoing: [], learners: [] };
  const mark = { index: logIndex(9), term: term(2), configuration: { index: logIndex(3), configuration } };
  const data = Uint8Array.of(1, 2, 3);
  return {
    kind: 'snapshotChunk',
    stream: DATA_STREAM,
    transferId: 1,
    term: term(2),
    mark,
    sequence: 0,
    last: true,
    data,
  };
}

function ack(): Envelope {
  return { kind: 'snapshotAck', stream: DATA_STREAM, transferId: 1, next: 2, outcome: 'continue' };
}

function stateHash(): Envelope {
  return { kind: 'stateHash', stream: DATA_STREAM, index: logIndex(7), hash: 'ab'.repeat(16) };
}

function heartbeat(): Envelope {
  const message: Message = {
    kind: 'heartbeatRequest',
    from: memberId('a'),
    to: memberId('b'),
    term: term(1),
    leaderCommit: logIndex(0),
    readSequence: 0,
    sentMs: 12.5,
  };
  return { kind: 'raft', stream: DATA_STREAM, message };
}

describe('envelopes of what release 0.1 did not have', () => {
  it.each<readonly [string, Envelope, (body: Record<string, unknown>) => object, string]>([
    ['an image without a mark', chunk(), (body) => Object.assign(body, { mark: undefined }), 'without a mark'],
    ['an image of a later term', chunk(), (body) => Object.assign(body, { term: 1n }), "passes the leader's"],
    ['an image of no entry', chunk(), (body) => Object.assign(body.mark as object, { index: 0n }), 'mark.index'],
    [
      'an image before its configuration',
      chunk(),
      (body) => Object.assign(body.mark as object, { configurationIndex: 10n }),
      'comes after the mark',
    ],
    [
      'an image without members',
      chunk(),
      (body) => Object.assign(body.mark as object, { configuration: undefined }),
      'no configuration',
    ],
    ['an answer to an image of its own', ack(), (body) => Object.assign(body, { outcome: 7 }), 'outcome 7'],
    ['a hash that is none', stateHash(), (body) => Object.assign(body, { hash: 'ABC' }), '32 hex digits'],
    ['a time that is none', heartbeat(), (body) => Object.assign(body, { sentMs: Number.NaN }), 'no time'],
    ['a time before the clock', heartbeat(), (body) => Object.assign(body, { sentMs: -1 }), 'no time'],
  ])('are refused with %s', (_, before, spoil, error) => {
    const message = toPeerEnvelope(before);
    const { body } = message;
    if (body.case === undefined) throw new Error('no body');
    const inner = body.case === 'raft' ? body.value.body.value : body.value;
    spoil(inner as unknown as Record<string, unknown>);
    expect(fromPeerEnvelope(message)).toEqual({ ok: false, error: expect.stringContaining(error) });
  });

  it('share the pieces of an image with the sender when encoded', () => {
    const before = chunk();
    const { body } = toPeerEnvelope(before);
    if (body.case !== 'snapshotChunk' || before.kind !== 'snapshotChunk') throw new Error('not a chunk');
    expect(body.value.data).toBe(before.data);
  });

  it('A5: have a size that is near what they take on the wire, where it matters', () => {
    fc.assert(
      fc.property(envelope, (before) => {
        const bytes = toBinary(PeerEnvelopeSchema, toPeerEnvelope(before));
        if (before.kind === 'snapshotChunk' || before.kind === 'stateHash' || before.kind === 'snapshotAck') {
          expect(envelopeBytes(before)).toBeGreaterThanOrEqual(bytes.length);
        }
      }),
    );
  });
});
