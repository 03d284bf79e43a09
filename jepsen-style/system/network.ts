/**
 * Machines on this machine: a network namespace for each member, joined by a bridge that this process is on, too. A message is
 * lost where it comes in (input hook of the receiver): dropped on the way out, its sender would be told (EPERM).
 */
import { exec, execNow } from './exec.ts';
import { nameOf } from './names.ts';

/** A /24 of private addresses, not that of the benches and of test/process, and another one for each process. */
const SUBNET = `10.84.${process.pid % 256}`;
const GATEWAY = 254;

/** How messages from one member to another fare; all that is not named passes. */
export interface LinkRule {
  readonly from: number;
  readonly to: number;
  /** Share that is lost, 0 to 1; 1: silence. */
  readonly loss: number;
  /** What is over it is lost, KiB/s; left out: no limit. */
  readonly rateKiB?: number;
}

export class Network {
  readonly #count: number;
  /** By what asked for them: two faults at a time do not heal each other. */
  readonly #rules = new Map<string, readonly LinkRule[]>();

  constructor(count: number) {
    this.#count = count;
  }

  /** Where this process is reached by the members. */
  get hostAddress(): string {
    return `${SUBNET}.${GATEWAY}`;
  }

  get count(): number {
    return this.#count;
  }

  address(i: number): string {
    return `${SUBNET}.${i + 1}`;
  }

  namespace(i: number): string {
    return nameOf('namespace', i);
  }

  /**
   * What comes before a command for it to run in the place of a member. Not `ip netns exec`: that has mounts of its own, which would
   * hold on to the disk of another member when it is unmounted here.
   */
  inside(i: number): readonly string[] {
    return ['nsenter', `--net=/run/netns/${this.namespace(i)}`];
  }

  async up(): Promise<void> {
    const bridge = nameOf('bridge', 0);
    await exec(['ip', 'link', 'add', bridge, 'type', 'bridge']);
    await exec(['ip', 'addr', 'add', `${this.hostAddress}/24`, 'dev', bridge]);
    await exec(['ip', 'link', 'set', bridge, 'up']);
    for (let i = 0; i < this.#count; i += 1) {
      const name = this.namespace(i);
      const outer = nameOf('link', i);
      await exec(['ip', 'netns', 'add', name]);
      await exec(['ip', 'link', 'add', outer, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name]);
      await exec(['ip', 'link', 'set', outer, 'master', bridge, 'up']);
      await exec(['ip', '-n', name, 'addr', 'add', `${this.address(i)}/24`, 'dev', 'eth0']);
      await exec(['ip', '-n', name, 'link', 'set', 'eth0', 'up']);
      await exec(['ip', '-n', name, 'link', 'set', 'lo', 'up']);
    }
  }

  /** In force beside the rules of others, until `heal` with the same name. */
  async disturb(by: string, rules: readonly LinkRule[]): Promise<void> {
    this.#rules.set(by, rules);
    await this.#load();
  }

  async heal(by: string): Promise<void> {
    this.#rules.delete(by);
    await this.#load();
  }

  async healAll(): Promise<void> {
    this.#rules.clear();
    await this.#load();
  }

  /** One transaction for each receiver: there is no moment with half of its rules. */
  async #load(): Promise<void> {
    const all = [...this.#rules.values()].flat();
    await Promise.all(
      Array.from({ length: this.#count }, (_, to) => {
        const lines = all.filter((rule) => rule.to === to).flatMap((rule) => this.#statements(rule));
        const table = [
          'table inet chaos {',
          'chain input {',
          'type filter hook input priority 0;',
          'iifname "lo" accept;',
          ...lines,
          '}',
          '}',
        ];
        const input = ['add table inet chaos', 'delete table inet chaos', ...table, ''].join('\n');
        return exec([...this.inside(to), 'nft', '-f', '-'], { input });
      }),
    );
  }

  #statements({ from, loss, rateKiB }: LinkRule): readonly string[] {
    const source = `ip saddr ${this.address(from)}`;
    const out: string[] = [];
    if (loss >= 1) out.push(`${source} drop`);
    else if (loss > 0) out.push(`${source} numgen random mod 1000 < ${Math.round(loss * 1000)} drop`);
    if (rateKiB !== undefined) out.push(`${source} limit rate over ${rateKiB} kbytes/second drop`);
    return out;
  }

  /** On every way out; what is not there any more is no trouble. */
  down(): void {
    for (let i = 0; i < this.#count; i += 1) {
      execNow(['ip', 'netns', 'del', this.namespace(i)]);
      // A socket that still sends what was never acknowledged keeps a namespace without a name, and its link, for minutes.
      execNow(['ip', 'link', 'del', nameOf('link', i)]);
    }
    execNow(['ip', 'link', 'del', nameOf('bridge', 0)]);
  }
}
