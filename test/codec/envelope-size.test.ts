/** What travels between members is bounded by estimates: none may be far below what is sent. */
import { toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toPeerEnvelope } from '../../src/codec/envelope.ts';
import { envelopeBytes } from '../../src/codec/envelope-size.ts';
import { PeerEnvelopeSchema } from '../../src/gen/quorate/internal/v1/peer_pb.ts';
import type { CommandBody } from '../../src/machine/types.ts';
import type { Envelope } from '../../src/node/types.ts';
import { streamId } from '../../src/types/ids.ts';
import { envelope } from './arbitraries.ts';

const sent = (one: Envelope): number => toBinary(PeerEnvelopeSchema, toPeerEnvelope(one)).length;

describe('the size of an envelope', () => {
  it('is estimated at no less than a third of what is sent: text may take three bytes for each of its units', () => {
    fc.assert(
      fc.property(envelope, (one) => {
        expect(3 * envelopeBytes(one)).toBeGreaterThanOrEqual(sent(one));
      }),
      { numRuns: 2_000 },
    );
  });

  it('counts what is large in commands of every kind', () => {
    const body: CommandBody = {
      kind: 'putDocument',
      document: 'd',
      content: 'x'.repeat(250_000),
      schema: 'y'.repeat(50_000),
    } as unknown as CommandBody;
    const request = { session: null, caller: 'c', traceId: '', body };
    const one: Envelope = { kind: 'forwardRequest', stream: streamId(1), requestId: 1, deadlineMs: 1, request };
    expect(envelopeBytes(one)).toBeGreaterThan(300_000);
  });
});
