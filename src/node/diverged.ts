/** Why a member stops whose state is not what the others have (R7). */
import type { LogIndex } from '../types/ids.ts';

export class DivergedError extends Error {
  override readonly name = 'DivergedError';
  readonly index: LogIndex;
  /** State hash of this member after entry `index`, 32 hexadecimal digits; and that of a majority of the voters. */
  readonly hash: string;
  readonly majorityHash: string;

  constructor(index: LogIndex, hash: string, majorityHash: string) {
    super(
      `the state of this member differs from that of a majority after entry ${index}: its hash is ${hash}, theirs is ` +
        `${majorityHash}. It stops, and keeps its data for study. Keep a copy of the data folder, then replace the member ` +
        '(quorate member replace)',
    );
    this.index = index;
    this.hash = hash;
    this.majorityHash = majorityHash;
  }
}
