/** etcd behind the face of `system.mjs`: the one on PATH, with its own defaults. */
import { join } from 'node:path';
import { KEY, keyOf, System, VALUE } from './system.mjs';
import { countField, field, message, parse } from './wire.mjs';

/** Above every count of entries that is measured: no snapshot takes them from the log. */
const NO_SNAPSHOT = 1_000_000_000;

const put = (key, value) => ({ path: '/etcdserverpb.KV/Put', body: message(field(1, key), field(2, value)) });

/** A write that is carried out when the key has been written `times` times. */
function putWhen(key, times) {
  const compare = message(field(2, 0), field(3, key), field(4, times));
  const request = field(2, message(field(1, key), field(2, VALUE)));
  return { path: '/etcdserverpb.KV/Txn', body: message(field(1, compare), field(2, request)) };
}

export class Etcd extends System {
  static systemName = 'etcd';
  /** Keeps all of the log: for a restart with a long one. */
  static longLog = ['--snapshot-count', String(NO_SNAPSHOT)];
  /** A member that was away for long needs an image. */
  static shortLog = ['--snapshot-count', '1000'];
  #ids = new Map();

  commandOf(i) {
    const { place } = this;
    const peers = this.positions.map((p) => `m${p}=http://${place.peerAddress(p)}`).join(',');
    const [own, peer] = [`http://${place.clientAddress(i)}`, `http://${place.peerAddress(i)}`];
    const args = [
      ...['--name', `m${i}`, '--data-dir', join(this.folder, `m${i}`), '--log-level', 'warn'],
      ...['--listen-client-urls', own, '--advertise-client-urls', own],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', peers, '--initial-cluster-state', 'new', '--quota-backend-bytes', String(8 * 2 ** 30)],
      ...this.flags,
    ];
    return { command: 'etcd', args };
  }

  async #status(i, deadlineMs = 500) {
    return parse(await this.call(i, { path: '/etcdserverpb.Maintenance/Status', body: Buffer.alloc(0) }, deadlineMs));
  }

  async leaderSeenBy(i) {
    const status = await this.#status(i);
    this.#ids.set(parse(status.get(1)).get(2), i);
    const leader = status.get(4);
    return leader === undefined || leader === 0n ? null : (this.#ids.get(leader) ?? null);
  }

  /** Entries that member `i` has applied. */
  async appliedBy(i) {
    return Number((await this.#status(i, 5_000)).get(7) ?? 0n);
  }

  async prepare() {
    await this.call(await this.settled(), this.write);
  }

  /** The same small write again and again. */
  get write() {
    return put(KEY, VALUE);
  }
  /** A linearizable read of what `write` writes. */
  get read() {
    return { path: '/etcdserverpb.KV/Range', body: field(1, KEY) };
  }
  /** Write number `version`, from 1, of key number `n`. */
  keyedWrite(n, _version, value = VALUE) {
    return put(keyOf(n), value);
  }
  /** A value of any size in place of the one before, on one of a few keys. */
  overwrite(n, value) {
    return put(keyOf(n), value);
  }
  async prepareOverwrites() {}

  watch = { path: '/etcdserverpb.Watch/Watch', body: field(1, message(field(1, KEY))), bidirectional: true };
  eventsIn(response) {
    return countField(response, 11);
  }

  /** Two transactions, each on condition of what was before; the counterpart of a phase. */
  async roundTrip(load, lane, round) {
    const key = `trip-${lane}-${round}`;
    for (const times of [0, 1]) {
      const answer = parse(await load.call(putWhen(key, times)));
      if (answer.get(2) !== 1n) throw new Error(`etcd: the condition of ${key} does not hold`);
    }
  }
  async prepareTrips() {}
}
