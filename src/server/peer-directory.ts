/**
 * Whom this member speaks with, and where they are. The log says who belongs to the cluster: the configuration in force, and the
 * rows of members that were added or removed by command. The settings only say where.
 *
 * PD1 A member that has a row with an incarnation is that data folder and no other.
 * PD2 Without one, the first data folder that was met stays (identity.json, ID3).
 * PD3 Who was removed, and is in no configuration that this member knows, is told so; by nothing else. It is the data folder that
 *     was removed: another one under its id may have been added by entries that this member does not have yet.
 * PD4 Who is in nothing that this member knows, but was taken into the same cluster (its digest says so), is spoken with: it may have been
 *     added by entries that this member does not have yet, and be the leader that has them (thesis, 4.1). Not with a log that holds nothing:
 *     a first member that lost its folder has the digest from its settings, and would vote for somebody who never met it before. When
 *     entries that come later speak of the stranger, PD1 to PD3 are asked again.
 * PD5 A member that joined has the digest of the leader that its own configuration names: one that was started with the wrong list is
 *     refused by the others, and does not lead.
 */
import type { MemberRow } from '../machine/rows.ts';
import type { Configuration, PlacedConfiguration } from '../raft/types.ts';
import { type AdmissionRefusal, type Greeting, unknownMember } from '../transport/hello.ts';
import type { ClusterId, MemberId } from '../types/ids.ts';
import { err, ok, type Result } from '../types/result.ts';
import type { MemberAddress } from './config.ts';

/** Peers whose word is kept while this member belongs to nobody: as many as strangers can say hello before it is cleared. */
const DIGESTS_MAX = 64;
const STRANGERS_MAX = 64;

export interface PeerDirectoryOptions {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /** The setting. */
  readonly listed: readonly MemberAddress[];
  /** In force when the member starts. */
  readonly configuration: Configuration;
  /** As `MemberIdentity.admit`. */
  readonly admitFirst: (
    peer: MemberId,
    incarnation: string,
    current: ReadonlySet<string>,
  ) => Promise<Result<void, string>>;
  /** With whom the cluster of this member was begun; '' where it does not know. */
  readonly clusterDigest: () => string;
  /** The leader says what the digest is. Called when this member does not know; until it does, perhaps again. */
  readonly learnDigest: (digest: string) => void;
  readonly leader: () => MemberId | null;
  /** This member has taken entries, or knows that it has lost some. */
  readonly hasLog: () => boolean;
  /** As `MemberIdentity.firstMet`. */
  readonly firstMet: (peer: MemberId) => string | undefined;
  /** How long a peer that left is still reached, so that it learns of it, milliseconds. */
  readonly lingerMs: number;
}

export class PeerDirectory {
  readonly #options: PeerDirectoryOptions;
  readonly #listed: ReadonlyMap<MemberId, MemberAddress>;
  #rows: ReadonlyMap<MemberId, MemberRow> = new Map();
  #configuration: Configuration;
  /** Peers that left a short while ago, and where they were. */
  readonly #leaving = new Map<MemberId, { readonly address: string; readonly timer: NodeJS.Timeout }>();
  #peers: ReadonlyMap<MemberId, string>;
  /** What those say who were spoken with while this member did not know the digest. */
  readonly #digests = new Map<MemberId, string>();
  /** Who was spoken with by PD4. */
  readonly #strangers = new Map<MemberId, Greeting>();
  /** As `PeerTransport.drop`. */
  onUnwanted: (peer: MemberId) => void = () => undefined;
  /** As `PeerTransport.setPeers`; called whenever the peers or their addresses change. */
  onPeers: (peers: ReadonlyMap<MemberId, string>) => void = () => undefined;

  constructor(options: PeerDirectoryOptions) {
    this.#options = options;
    this.#listed = new Map(options.listed.map((member) => [member.id, member]));
    this.#configuration = options.configuration;
    this.#peers = this.#members();
  }

  /** host:port of every peer, '' where it is not known. */
  get peers(): ReadonlyMap<MemberId, string> {
    return this.#peers;
  }

  /** This member belongs to no cluster yet, as far as it knows. */
  get joining(): boolean {
    return this.#configuration.voters.length === 0;
  }

  /** Everybody who belongs to the cluster, this member included; nobody while it waits to be added. */
  get known(): ReadonlySet<MemberId> {
    if (this.joining) return new Set();
    return new Set([this.#options.memberId, ...this.#members().keys()]);
  }

  /** Rows and configuration as this member has applied, and placed, them. */
  update(rows: readonly MemberRow[], placed: PlacedConfiguration): void {
    this.#rows = new Map(rows.map((row) => [row.member, row]));
    this.#configuration = placed.configuration;
    const members = this.#members();
    for (const [peer, address] of this.#peers) {
      if (!members.has(peer) && !this.#leaving.has(peer)) this.#linger(peer, address);
    }
    for (const [peer, { timer }] of this.#leaving) {
      if (!members.has(peer)) continue;
      clearTimeout(timer);
      this.#leaving.delete(peer);
    }
    this.#publish(members);
    this.#learnDigest();
    this.#judgeStrangers();
  }

  /** Decides about a peer that said hello, and makes PD2 durable. Rejects with the disk's error. */
  async admit(greeting: Greeting): Promise<Result<void, AdmissionRefusal>> {
    const admitted = await this.#judge(greeting);
    const { from, membersDigest } = greeting;
    if (admitted.ok && membersDigest !== '' && this.#options.clusterDigest() === '') {
      if (this.#digests.size >= DIGESTS_MAX) this.#digests.clear();
      this.#digests.set(from, membersDigest);
      this.#learnDigest();
    }
    return admitted;
  }

  async #judge(greeting: Greeting): Promise<Result<void, AdmissionRefusal>> {
    const { from, incarnation, membersDigest } = greeting;
    const row = this.#rows.get(from);
    const member = isMember(this.#configuration, from);
    if (row !== undefined && row.incarnation !== '' && row.incarnation !== incarnation) {
      return refuse('WRONG_INCARNATION', otherFolder(from));
    }
    if (row?.wanted === 'removed' && !member && !this.#leaving.has(from)) {
      // The row of a first member does not say which folder it had.
      const removed = row.incarnation !== '' || this.#options.firstMet(from) === incarnation;
      if (!removed) return refuse('WRONG_INCARNATION', otherFolder(from));
      return refuse('REMOVED', `${from} was removed from cluster ${this.#options.clusterId}`);
    }
    const ofThisCluster = membersDigest !== '' && membersDigest === this.#options.clusterDigest();
    const stranger = !this.joining && this.#isStranger(from);
    if (stranger && (!ofThisCluster || !this.#options.hasLog()))
      return refuse('UNKNOWN_MEMBER', unknownMember(from, this.#options));
    if (row !== undefined && row.incarnation !== '') return ok(undefined);
    const admitted = await this.#options.admitFirst(from, incarnation, new Set(this.#peers.keys()));
    if (!admitted.ok) return refuse('WRONG_INCARNATION', admitted.error);
    if (!stranger) return ok(undefined);
    // Entries may have spoken of it while that was written down.
    if (!this.#isStranger(from)) return this.#judge(greeting);
    if (this.#strangers.size >= STRANGERS_MAX) this.#strangers.clear();
    this.#strangers.set(from, greeting);
    return ok(undefined);
  }

  /** In nothing that this member knows. */
  #isStranger(peer: MemberId): boolean {
    return !this.#rows.has(peer) && !isMember(this.#configuration, peer);
  }

  /** Whether `peer` can know that this member was removed: it belongs to the cluster, as far as this member knows. */
  canTell(peer: MemberId): boolean {
    return isMember(this.#configuration, peer);
  }

  /** No call to `onPeers` after it. */
  close(): void {
    for (const { timer } of this.#leaving.values()) clearTimeout(timer);
    this.#leaving.clear();
  }

  /** PD5. */
  #learnDigest(): void {
    if (this.#options.clusterDigest() !== '') {
      this.#digests.clear();
      return;
    }
    const leader = this.#options.leader();
    const digest = leader === null || !isMember(this.#configuration, leader) ? undefined : this.#digests.get(leader);
    if (digest !== undefined) this.#options.learnDigest(digest);
  }

  /** PD4: what is known of strangers by now. */
  #judgeStrangers(): void {
    for (const [peer, greeting] of this.#strangers) {
      if (this.#isStranger(peer)) continue;
      this.#strangers.delete(peer);
      this.#judge(greeting).then(
        (verdict) => {
          if (!verdict.ok) this.onUnwanted(peer);
        },
        // It could not be written down whom it is: it has to say hello again.
        () => this.onUnwanted(peer),
      );
    }
  }

  /** Without those that are leaving. */
  #members(): ReadonlyMap<MemberId, string> {
    const { memberId } = this.#options;
    const { voters, votersOutgoing, learners } = this.#configuration;
    const wanted = [...this.#rows.values()].filter((row) => row.wanted !== 'removed').map((row) => row.member);
    const ids = new Set([...voters, ...votersOutgoing, ...learners, ...wanted]);
    if (this.joining) for (const id of this.#listed.keys()) ids.add(id);
    ids.delete(memberId);
    return new Map([...ids].sort().map((id) => [id, this.#addressOf(id)]));
  }

  /** The operator's own word goes first: it is how a member that moved to another address is found. */
  #addressOf(id: MemberId): string {
    return this.#listed.get(id)?.peerAddress ?? this.#rows.get(id)?.peerAddress ?? '';
  }

  #linger(peer: MemberId, address: string): void {
    const timer = setTimeout(() => {
      this.#leaving.delete(peer);
      this.#publish(this.#members());
    }, this.#options.lingerMs);
    this.#leaving.set(peer, { address, timer });
  }

  #publish(members: ReadonlyMap<MemberId, string>): void {
    const leaving = [...this.#leaving].map(([peer, { address }]) => [peer, address] as const);
    const peers = new Map([...members, ...leaving]);
    const same = peers.size === this.#peers.size && [...peers].every(([peer, at]) => this.#peers.get(peer) === at);
    if (same) return;
    this.#peers = peers;
    this.onPeers(peers);
  }
}

function isMember({ voters, votersOutgoing, learners }: Configuration, id: MemberId): boolean {
  return voters.includes(id) || votersOutgoing.includes(id) || learners.includes(id);
}

function otherFolder(peer: MemberId): string {
  return (
    `member ${peer} has another data folder than the one that it was added with; it must not come back under the same id: ` +
    'its votes and acknowledgements are forgotten. Put that folder back, or replace the member (quorate member replace)'
  );
}

function refuse(reason: AdmissionRefusal['reason'], message: string): Result<never, AdmissionRefusal> {
  return err({ reason, message });
}
