/** The list of members in the settings, against the one in the log: only the log's counts once there is one (C6). */
import { createHash } from 'node:crypto';
import { DATA_STREAM, type MemberId } from '../types/ids.ts';
import type { RecoveredStream } from '../wal/types.ts';

/** Equal exactly when the sets of voters are; members compare it before they talk. 64 hex digits. */
export function membersDigest(voters: readonly MemberId[]): string {
  return createHash('sha256')
    .update([...voters].sort().join('\n'))
    .digest('hex');
}

/**
 * The voters that this member works with: those of its log, or those of the settings when the log is new. Throws when
 * they differ. `unknownToPeers`: no other member can have heard of this data folder.
 */
export function agreedVoters(
  configured: readonly MemberId[],
  streams: readonly RecoveredStream[],
  dataDir: string,
  unknownToPeers: boolean,
): readonly MemberId[] {
  const voters = [...configured].sort();
  const recovered = streams.find(({ stream }) => stream === DATA_STREAM);
  if (recovered === undefined) return voters;
  const { configuration, hardState, lastIndex } = recovered;
  if (membersDigest(configuration.voters) === membersDigest(voters)) return voters;
  const neverTookPart = unknownToPeers && hardState.term === 0 && lastIndex === 0;
  throw new Error(
    `the setting members lists ${voters.join(', ')}, but the log in ${dataDir} was started with ` +
      `${configuration.voters.join(', ')}. This version cannot change the members of a cluster: ` +
      (neverTookPart
        ? 'list those, or, as this member has never taken part in anything yet, move the folder away to start it anew'
        : 'list the same ones as before'),
  );
}
