/** Machines on this machine: one network namespace for each member, joined by a bridge. Needs root. */
import { execFileSync } from 'node:child_process';

/** A /24 of private addresses. */
const SUBNET = '10.83.7';

function run(...args) {
  execFileSync(args[0], args.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] });
}

function quietly(...args) {
  try {
    run(...args);
  } catch {
    // Not there, or gone already.
  }
}

export class Network {
  #prefix;
  #count;
  #subnet;

  constructor(count, subnet = SUBNET) {
    this.#count = count;
    this.#subnet = subnet;
    this.#prefix = `qb${process.pid % 10_000}`;
  }

  get bridge() {
    return `${this.#prefix}b`;
  }
  namespace(i) {
    return `${this.#prefix}n${i}`;
  }
  #outer(i) {
    return `${this.#prefix}v${i}`;
  }
  address(i) {
    return `${this.#subnet}.${i + 1}`;
  }

  up() {
    run('ip', 'link', 'add', this.bridge, 'type', 'bridge');
    run('ip', 'addr', 'add', `${this.#subnet}.254/24`, 'dev', this.bridge);
    run('ip', 'link', 'set', this.bridge, 'up');
    for (let i = 0; i < this.#count; i += 1) {
      const name = this.namespace(i);
      const outer = this.#outer(i);
      run('ip', 'netns', 'add', name);
      run('ip', 'link', 'add', outer, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
      run('ip', 'link', 'set', outer, 'master', this.bridge, 'up');
      run('ip', '-n', name, 'addr', 'add', `${this.address(i)}/24`, 'dev', 'eth0');
      run('ip', '-n', name, 'link', 'set', 'eth0', 'up');
      run('ip', '-n', name, 'link', 'set', 'lo', 'up');
    }
  }

  /** Nothing from or to member `i` arrives any more, without a word: packets are dropped where they come in. */
  isolate(i) {
    for (let other = 0; other < this.#count; other += 1) {
      this.#drop(other, other === i ? '' : `ip saddr ${this.address(i)}`);
    }
  }

  /** Nothing passes between the two sides any more, in the same way; within a side, and from outside, all goes on. */
  cut(side, other) {
    for (const [here, there] of [
      [side, other],
      [other, side],
    ]) {
      const from = there.map((j) => this.address(j)).join(', ');
      for (const i of here) this.#drop(i, `ip saddr { ${from} }`);
    }
  }

  heal() {
    for (let i = 0; i < this.#count; i += 1)
      quietly('ip', 'netns', 'exec', this.namespace(i), 'nft', 'flush', 'ruleset');
  }

  #drop(i, match) {
    const rules = `table inet bench {\nchain input {\ntype filter hook input priority 0;\niifname "lo" accept;\n${match} drop\n}\n}\n`;
    execFileSync('ip', ['netns', 'exec', this.namespace(i), 'nft', '-f', '-'], { input: rules });
  }

  down() {
    for (let i = 0; i < this.#count; i += 1) {
      quietly('ip', 'netns', 'del', this.namespace(i));
      // A socket that still sends what was never acknowledged keeps a namespace without a name, and its link, for minutes.
      quietly('ip', 'link', 'del', this.#outer(i));
    }
    quietly('ip', 'link', 'del', this.bridge);
  }
}
