/** What a stream that HTTP/2 reset tells of its call: nothing. Found by `stream-write` with 4,096 calls under way. */
import { status as Code, Metadata } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { toFailure } from '../../src/client/channels.ts';

function errorOf(code: Code, details: string): Error {
  return Object.assign(new Error(`${code} ${Code[code]}: ${details}`), { code, details, metadata: new Metadata() });
}

describe('RESOURCE_EXHAUSTED without a reason of the member', () => {
  it('is unknown when the stream was reset with ENHANCE_YOUR_CALM: the call may have been carried out', () => {
    const error = errorOf(Code.RESOURCE_EXHAUSTED, 'Bandwidth exhausted or memory limit exceeded');
    expect(toFailure(error, 'a:1')).toMatchObject({
      kind: 'unknown',
      answered: false,
      error: { reason: 'UNAVAILABLE' },
    });
  });

  it('is a refusal when a message was too large', () => {
    const error = errorOf(Code.RESOURCE_EXHAUSTED, 'Received message larger than max (70000 vs 65536)');
    expect(toFailure(error, 'a:1')).toMatchObject({ kind: 'refused', error: { reason: 'UNKNOWN' } });
  });
});
