/** The list of members in the settings, against what the data folder says: only the latter counts once there is one (C6). */
import { createHash } from 'node:crypto';
import type { Configuration, PlacedConfiguration } from '../raft/types.ts';
import type { LogIndex, MemberId } from '../types/ids.ts';
import type { RecoveredStream } from '../wal/types.ts';

/** Equal exactly when the sets of voters are; members compare it before they talk. 64 hex digits, '' for nobody. */
export function membersDigest(voters: readonly MemberId[]): string {
  if (voters.length === 0) return '';
  return createHash('sha256')
    .update([...voters].sort().join('\n'))
    .digest('hex');
}

/**
 * In place of `membersDigest` in a cluster that was restored: its first members have to begin from the same state, too. One with
 * another backup, or with none, would take what the others commit for something that it has.
 */
export function restoredDigest(voters: readonly MemberId[], index: LogIndex, stateHash: string): string {
  return createHash('sha256')
    .update([...voters].sort().join('\n'))
    .update(`\nrestored ${index} ${stateHash}`)
    .digest('hex');
}

/** What a log that is new is started with: the members of the settings, or nobody for one that waits to be added. */
export function firstConfiguration(listed: readonly MemberId[], join: boolean): Configuration {
  return { voters: join ? [] : [...listed].sort(), votersOutgoing: [], learners: [] };
}

/**
 * The digest of the voters that the cluster was started with, '' for a member that joined later, or null when the log does
 * not say any more. `recovered`: the data stream of the log; undefined for a new one.
 */
export function firstDigest(recovered: RecoveredStream | undefined, first: Configuration): string | null {
  if (recovered === undefined) return membersDigest(first.voters);
  const oldest = recovered.configurations[0];
  return oldest !== undefined && oldest.index === 0 ? membersDigest(oldest.configuration.voters) : null;
}

/**
 * The configuration that is in force at the end of the log, or of a new one. Throws when the settings were corrected after a
 * first start that nobody noticed. `unknownToPeers`: no other member can have heard of this data folder.
 */
export function knownConfiguration(
  recovered: RecoveredStream | undefined,
  first: Configuration,
  dataDir: string,
  unknownToPeers: boolean,
): PlacedConfiguration {
  const last = recovered?.configurations.at(-1);
  if (recovered === undefined || last === undefined)
    return { index: 0 as PlacedConfiguration['index'], configuration: first };
  const { hardState, lastIndex } = recovered;
  const neverTookPart = unknownToPeers && hardState.term === 0 && lastIndex === 0;
  const { voters } = last.configuration;
  if (neverTookPart && membersDigest(voters) !== membersDigest(first.voters)) {
    const list = (ids: readonly MemberId[]): string => (ids.length === 0 ? 'nobody (join)' : ids.join(', '));
    throw new Error(
      `the settings start this member with ${list(first.voters)}, but ${dataDir} was started with ${list(voters)}, and ` +
        'has never taken part in anything since: move the folder away to start it anew, or give the settings from before',
    );
  }
  return last;
}

/**
 * What the operator should know of the settings, or null: members that are listed and do not belong to the cluster. `known`: ids
 * of those that do.
 */
export function strangersListed(listed: readonly MemberId[], known: ReadonlySet<MemberId>): string | null {
  const strangers = listed.filter((id) => !known.has(id));
  if (strangers.length === 0 || known.size === 0) return null;
  return (
    `the setting members lists ${strangers.join(', ')}, but the cluster is ${[...known].sort().join(', ')}: its log says who ` +
    'belongs to it, and the setting only where members are. To add one, start it with --join and run `quorate member add`'
  );
}
