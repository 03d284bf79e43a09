/** D5 and R9: PARTITION_ERROR is of the member that a client asked; other members, older ones among them, are told NO_QUORUM. */
import { describe, expect, it } from 'vitest';
import { fromPeerEnvelope, toPeerEnvelope } from '../../src/codec/envelope.ts';
import { partitioned } from '../../src/node/outcomes.ts';
import { streamId } from '../../src/types/ids.ts';

describe('PARTITION_ERROR between members', () => {
  it('travels as NO_QUORUM, with its sentence', () => {
    const outcome = partitioned(46_000);
    expect(outcome).toMatchObject({ reason: 'PARTITION_ERROR', leader: null });
    expect(outcome.message).toContain('46 s');
    const sent = toPeerEnvelope({ kind: 'forwardResponse', stream: streamId(1), requestId: 7, outcome });
    const decoded = fromPeerEnvelope(sent);
    expect(decoded).toMatchObject({ ok: true, value: { requestId: 7, outcome: { ...outcome, reason: 'NO_QUORUM' } } });
  });
});
