/** Machines on this machine: one network namespace for each member, joined by a bridge. Needs root. */
import { execFileSync } from 'node:child_process';

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

  constructor(count) {
    this.#count = count;
    this.#prefix = `qb${process.pid % 10_000}`;
  }

  get bridge() {
    return `${this.#prefix}b`;
  }
  namespace(i) {
    return `${this.#prefix}n${i}`;
  }
  address(i) {
    return `${SUBNET}.${i + 1}`;
  }

  up() {
    run('ip', 'link', 'add', this.bridge, 'type', 'bridge');
    run('ip', 'addr', 'add', `${SUBNET}.254/24`, 'dev', this.bridge);
    run('ip', 'link', 'set', this.bridge, 'up');
    for (let i = 0; i < this.#count; i += 1) {
      const name = this.namespace(i);
      const outer = `${this.#prefix}v${i}`;
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

  heal() {
    for (let i = 0; i < this.#count; i += 1)
      quietly('ip', 'netns', 'exec', this.namespace(i), 'nft', 'flush', 'ruleset');
  }

  #drop(i, match) {
    const rules = `table inet bench {\nchain input {\ntype filter hook input priority 0;\niifname "lo" accept;\n${match} drop\n}\n}\n`;
    execFileSync('ip', ['netns', 'exec', this.namespace(i), 'nft', '-f', '-'], { input: rules });
  }

  down() {
    for (let i = 0; i < this.#count; i += 1) quietly('ip', 'netns', 'del', this.namespace(i));
    quietly('ip', 'link', 'del', this.bridge);
  }
}
