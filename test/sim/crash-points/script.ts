/**
 * What happens in every run: a short life of a cluster that comes by each thing that is written. Steps wait for what they are about,
 * not for a time, so that the run goes on whatever was crashed on the way.
 */
import { DATA_STREAM } from '../../../src/types/ids.ts';
import type { Client } from '../cluster/client.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { added } from '../cluster/operator.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import { proofs } from '../wal/segment-reader.ts';

const SECOND_US = 1_000_000;
/** A wait that takes longer than this will not end. */
const PATIENCE_US = 60 * SECOND_US;
/** A plan of so many phases is an entry of about 3,000 bytes. */
const PHASES = 50;

export type Chapter =
  | 'start'
  | 'append and flush'
  | 'vote'
  | 'compaction'
  | 'restart'
  | 'install'
  | 'configuration change'
  | 'recovery'
  | 'store lost'
  | 'end';

export class Script {
  chapter: Chapter = 'start';
  readonly #cluster: Cluster;
  readonly #client: Client;
  /** Down on purpose: whoever crashes them does not start them again. */
  readonly #down = new Set<SimMember>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#client = cluster.clients[0] as Client;
  }

  isMeantDown(member: SimMember): boolean {
    return this.#down.has(member);
  }

  async run(): Promise<void> {
    const [m1, m2, m3] = this.#cluster.members as [SimMember, SimMember, SimMember];
    for (const member of [m1, m2, m3]) member.boot();
    await this.#until('a leader', () => this.#leader() !== null);
    this.#begin('append and flush');
    await this.#write(3);
    this.#begin('vote');
    await this.#restart(this.#leader() ?? m1, 'kill');
    await this.#write(1);
    this.#begin('compaction');
    this.#take(m3);
    await this.#write(7);
    await this.#until('the log is cut', () => (this.#leader()?.lastStatus?.firstIndex ?? 0) > 5);
    this.#begin('install');
    this.#put(m3);
    await this.#until('m3 has the state', () => this.#hasAll(m3));
    this.#begin('configuration change');
    await this.#replace(m2);
    this.#begin('restart');
    await this.#restart(m1, 'stop');
    await this.#restart(m3, 'crash');
    await this.#write(2);
    this.#begin('recovery');
    await this.#damageLog(m3);
    await this.#write(1);
    this.#begin('store lost');
    await this.#damageStore(m3);
    this.#begin('end');
    await this.#write(1);
  }

  #begin(chapter: Chapter): void {
    this.chapter = chapter;
    this.#cluster.world.note('', chapter, 0, 0, 0);
  }

  async #until(what: string, done: () => boolean): Promise<void> {
    const { world } = this.#cluster;
    const untilUs = world.nowUs + PATIENCE_US;
    while (!done()) {
      if (world.nowUs > untilUs) {
        this.#cluster.violate('LV', `${what}: not within ${PATIENCE_US / SECOND_US} s`);
        return;
      }
      await world.sleep(20_000);
    }
  }

  async #write(count: number): Promise<void> {
    for (let done = 0; done < count; ) if (await this.#client.put(PHASES)) done += 1;
  }

  #leader(): SimMember | null {
    const leaders = this.#cluster.members.filter((one) => one.running !== null && one.lastStatus?.role === 'leader');
    return leaders.sort((a, b) => (b.lastStatus?.term ?? 0) - (a.lastStatus?.term ?? 0))[0] ?? null;
  }

  #hasAll(member: SimMember): boolean {
    const { lastStatus, running } = member;
    return running !== null && lastStatus !== null && lastStatus.appliedIndex >= this.#cluster.ledger.lastIndex;
  }

  #take(member: SimMember): void {
    this.#down.add(member);
    if (member.process !== null) member.kill();
  }

  #put(member: SimMember): void {
    this.#down.delete(member);
    member.boot();
  }

  async #restart(member: SimMember, how: 'kill' | 'crash' | 'stop'): Promise<void> {
    this.#down.add(member);
    if (how === 'stop') {
      void member.stop();
      await this.#until(`${member.id} stops`, () => member.process === null);
    } else if (member.process !== null) {
      if (how === 'kill') member.kill();
      else member.crash(500);
    }
    await this.#cluster.world.sleep(2 * SECOND_US);
    this.#put(member);
    await this.#until(`${member.id} is back`, () => this.#hasAll(member));
  }

  async #replace(leaving: SimMember): Promise<void> {
    const machine = this.#cluster.makeMachine();
    machine.boot();
    const change = added(machine, 'voter', leaving.id);
    const isThere = (): boolean =>
      this.#leader()
        ?.running?.local(DATA_STREAM)
        .members()
        .some(({ member }) => member === machine.id) === true;
    while (!isThere()) {
      await this.#cluster.operator.change([change]);
      await this.#cluster.world.sleep(200_000);
      if (this.#cluster.world.violation !== null) return;
    }
    await this.#until('the change is complete', () => {
      const group = this.#leader()?.log.group;
      return group?.voters.includes(machine.id) === true && group.votersOutgoing.length === 0;
    });
  }

  /** A bit of the oldest segment that is known to have been durable. */
  async #damageLog(member: SimMember): Promise<void> {
    this.#take(member);
    const files = member.disk.durableFiles().filter(([path]) => path.startsWith('wal/'));
    const [path, proof] = [...proofs(files)][0] ?? [];
    const file = files.find(([name]) => name === path)?.[1];
    if (file === undefined || proof === undefined) throw new Error(`${member.id} has no log to damage`);
    file.rot(proof.bytes - 1, 1);
    this.#cluster.storage.noteDamage(member, 'bitFlip');
    this.#put(member);
    await this.#until(`${member.id} recovers`, () => !member.damaged);
  }

  async #damageStore(member: SimMember): Promise<void> {
    this.#take(member);
    member.store.unreadable = true;
    this.#cluster.storage.noteDamage(member, 'storeUnreadable');
    this.#put(member);
    await this.#until(`${member.id} has its tables again`, () => !member.damaged);
  }
}
