/** The cluster under test: who its members are, who leads, and what has to be true for it to be well. */
import { rm } from 'node:fs/promises';
import { type MemberStatus, QuorateClient } from '../../src/client/client.ts';
import { FEATURE_LEVEL } from '../../src/types/feature-level.ts';
import { eventually, pause } from '../system/exec.ts';
import type { Ground } from './ground.ts';
import { Member, type UnexpectedExit } from './member.ts';

/** Small, so that a short run sees segments filled, freed and used again, and images sent. */
export const SMALL_LOG = [
  '--wal-segment-bytes',
  '4194304',
  '--wal-keep-bytes',
  '2097152',
  '--wal-keep-slow-bytes',
  '4194304',
];
const CLUSTER_ID = 'chaos';
const READY_MS = 60_000;
const ASK_MS = 1_000;

export interface ClusterOptions {
  readonly cli: string;
  readonly members: number;
  /** Flags of every member. */
  readonly flags: readonly string[];
  /** Environment of every member, by slot. */
  readonly env: (slot: number) => Readonly<Record<string, string>>;
  readonly onExit: (exit: UnexpectedExit) => void;
}

/** What a member says, and where it is. */
export interface SlotStatus {
  readonly slot: number;
  readonly status: MemberStatus;
}

export class Cluster {
  readonly ground: Ground;
  readonly members: readonly Member[];
  /** Asks all members, whatever becomes of them. */
  readonly observer: QuorateClient;
  readonly #options: ClusterOptions;
  #newcomers = 0;

  private constructor(ground: Ground, members: readonly Member[], observer: QuorateClient, options: ClusterOptions) {
    this.ground = ground;
    this.members = members;
    this.observer = observer;
    this.#options = options;
  }

  static async start(ground: Ground, options: ClusterOptions): Promise<Cluster> {
    const founders = ground.places.map((place) => ({ ...addressOf(`m${place.slot}`, place) }));
    const members = ground.places.map((place) => {
      const id = `m${place.slot}`;
      const flags = [...flagsOf(id, place), '--members', JSON.stringify(founders), ...options.flags];
      return new Member(place, options.cli, { id, flags, env: options.env(place.slot) }, options.onExit);
    });
    try {
      for (const member of members) member.start();
      const endpoints = ground.places.map(({ clientAddress }) => clientAddress);
      const observer = await QuorateClient.connect({ endpoints, caller: 'observer', deadlineMs: READY_MS });
      const cluster = new Cluster(ground, members, observer, options);
      const ready = await eventually(async () => (await observer.featureLevel()).level === FEATURE_LEVEL, READY_MS);
      if (!ready) throw new Error('the cluster did not get ready; see the logs of the members');
      return cluster;
    } catch (error) {
      for (const member of members) member.killNow();
      throw error;
    }
  }

  get endpoints(): readonly string[] {
    return this.ground.places.map(({ clientAddress }) => clientAddress);
  }

  get slots(): readonly number[] {
    return this.members.map(({ place }) => place.slot);
  }

  member(slot: number): Member {
    const member = this.members[slot];
    if (member === undefined) throw new RangeError(`there is no slot ${slot}`);
    return member;
  }

  /** What those who answer say. */
  async statuses(): Promise<readonly SlotStatus[]> {
    const answers = await this.observer.status({ deadlineMs: ASK_MS });
    return answers.flatMap((answer, slot) => ('status' in answer ? [{ slot, status: answer.status }] : []));
  }

  /** Slot of the leader of the highest term that somebody claims; null: nobody does. */
  async leader(): Promise<number | null> {
    const claims = (await this.statuses())
      .map(({ slot, status }) => ({ slot, stream: status.streams[0] }))
      .filter(({ stream }) => stream?.role === 'leader')
      .sort((a, b) => (b.stream?.term ?? 0) - (a.stream?.term ?? 0));
    return claims[0]?.slot ?? null;
  }

  /** Waits for it. */
  async waitForLeader(timeoutMs = 10_000): Promise<number | null> {
    let found: number | null = null;
    await eventually(async () => {
      found = await this.leader();
      return found !== null;
    }, timeoutMs);
    return found;
  }

  /** Lines that say what is not as it should be: everybody answers, votes, has applied the same, and has no fault. */
  async complaints(): Promise<readonly string[]> {
    const seen = await this.statuses();
    const bySlot = new Map(seen.map(({ slot, status }) => [slot, status]));
    const out: string[] = [];
    const committed = Math.max(...seen.map(({ status }) => status.streams[0]?.commitIndex ?? 0));
    for (const member of this.members) {
      const status = bySlot.get(member.place.slot);
      const stream = status?.streams[0];
      if (status === undefined || stream === undefined) out.push(`${member.id} does not answer`);
      else if (status.fault !== null) out.push(`${member.id} has a fault: ${status.fault}`);
      else if (stream.leaderId === null) out.push(`${member.id} knows no leader`);
      else if (stream.appliedIndex < committed - 200)
        out.push(`${member.id} is ${committed - stream.appliedIndex} behind`);
      else if (stream.recovering) out.push(`${member.id} is recovering`);
      else if (status.alarms.length > 0) out.push(`${member.id}: ${status.alarms.join(', ')}`);
    }
    const { members, settled } = await this.observer.members({ deadlineMs: 2 * ASK_MS });
    if (!settled) out.push('a change of members is under way');
    const voters = members.filter(({ role }) => role === 'voter').length;
    if (voters !== this.members.length) out.push(`${voters} voters, not ${this.members.length}`);
    return out;
  }

  /** Resolves with what is still wrong after the time. */
  async settle(timeoutMs: number): Promise<readonly string[]> {
    let last: readonly string[] = ['nobody was asked'];
    const ask = async (): Promise<boolean> => {
      last = await this.complaints().catch((error: unknown) => [String(error)]);
      return last.length === 0;
    };
    await eventually(ask, timeoutMs, 500);
    return last;
  }

  /** A new member, on an empty disk, comes to the slot; it still has to be added. */
  async welcome(slot: number): Promise<Member> {
    const member = this.member(slot);
    await member.kill();
    await rm(member.place.dataDir, { recursive: true, force: true });
    this.#newcomers += 1;
    const id = `m${slot}-${this.#newcomers}`;
    const known = this.members.map(({ id: one, place }) => addressOf(place.slot === slot ? id : one, place));
    const flags = [...flagsOf(id, member.place), '--join', '--members', JSON.stringify(known), ...this.#options.flags];
    member.command = { id, flags, env: this.#options.env(slot) };
    member.start();
    return member;
  }

  async stop(): Promise<void> {
    for (const member of this.members) member.signal('SIGCONT');
    await Promise.all(this.members.map((member) => member.stop()));
    await Promise.race([this.observer.close(), pause(5_000)]);
  }

  /** On the way out. */
  killNow(): void {
    for (const member of this.members) member.killNow();
  }
}

interface Address {
  readonly peerAddress: string;
  readonly clientAddress: string;
}

function addressOf(id: string, { peerAddress, clientAddress }: Address) {
  return { id, peerAddress, clientAddress };
}

function flagsOf(id: string, place: Ground['places'][number]): readonly string[] {
  const own = ['--cluster-id', CLUSTER_ID, '--member-id', id, '--data-dir', place.dataDir];
  return [...own, '--http-listen', place.httpAddress];
}
