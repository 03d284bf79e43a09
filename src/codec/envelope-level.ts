/** What a peer must support to take an envelope: an older member ends the stream of one that it cannot read (R9). */

import type { Envelope } from '../node/types.ts';
import { commandLevel } from './command-level.ts';

/** The lowest feature level whose releases can read the envelope. */
export function envelopeLevel(envelope: Envelope): number {
  switch (envelope.kind) {
    case 'snapshotChunk':
    case 'snapshotAck':
    case 'stateHash':
      return 2;
    case 'ackTimes':
      return 3;
    case 'forwardRequest':
      return commandLevel(envelope.request.body);
    case 'raft': {
      const { kind } = envelope.message;
      return kind === 'recoverRequest' || kind === 'recoverResponse' ? 2 : 1;
    }
    case 'forwardResponse':
      return 1;
  }
}
