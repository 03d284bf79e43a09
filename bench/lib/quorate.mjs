/** Quorate behind the face of `system.mjs`: what is in `dist`, with its own defaults. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KEY, keyOf, System, VALUE } from './system.mjs';
import { countField, field, message, parse } from './wire.mjs';
import { until } from './workspace.mjs';

/** Documents need it. */
const FEATURE_LEVEL = 3;
/** Documents of one loop: 100,000 is the most. */
const KEYS_PER_LOOP = 50_000;
const LOOPS = 40;
const DAY_MS = 24 * 60 * 60 * 1_000;
const PHASE = 'ANALYZE';
const PLAN = 'bench';
const HEADER = field(1, field(4, 'bench'));

const phases = (name, ...fields) => ({ path: `/quorate.v1.PhaseService/${name}`, body: message(HEADER, ...fields) });
const refOf = (loop, g = 1) => message(field(1, loop), field(2, g), field(3, PHASE));
const loopOf = (n) => `loop-${Math.floor(n / KEYS_PER_LOOP)}`;

export class Quorate extends System {
  static systemName = 'quorate';
  static longLog = ['--wal-keep-bytes', String(2 ** 34), '--wal-keep-slow-bytes', String(2 ** 34)];
  static shortLog = [
    ...['--wal-keep-bytes', String(2 ** 23), '--wal-keep-slow-bytes', String(2 ** 23)],
    ...['--wal-segment-bytes', String(2 ** 22)],
  ];
  dist = fileURLToPath(new URL('../../dist', import.meta.url));
  /** More flags of Node.js, as for a profile, by member. */
  nodeFlags = () => [];
  #token = null;
  #overwriteTokens = [];

  commandOf(i) {
    const members = this.positions.map((p) => ({
      id: `m${p}`,
      peerAddress: this.place.peerAddress(p),
      clientAddress: this.place.clientAddress(p),
    }));
    const own = ['--cluster-id', 'bench', '--member-id', `m${i}`, '--data-dir', join(this.folder, `m${i}`)];
    const rest = ['--log-level', 'warn', '--members', JSON.stringify(members), ...this.flags];
    const args = [...this.nodeFlags(i), join(this.dist, 'cli/main.js'), 'server', ...own, ...rest];
    // As the image runs it (Dockerfile); what the caller sets counts.
    const memory = {
      NODE_OPTIONS: '--max-semi-space-size=16',
      MALLOC_ARENA_MAX: '2',
      MALLOC_TRIM_THRESHOLD_: '131072',
    };
    const env = { ...memory, ...process.env };
    return { command: process.execPath, args, env };
  }

  async #status(i, deadlineMs = 500) {
    return parse(
      await this.call(i, { path: '/quorate.v1.ClusterService/GetStatus', body: Buffer.alloc(0) }, deadlineMs),
    );
  }

  async leaderSeenBy(i) {
    const leader =
      parse((await this.#status(i)).get(5))
        .get(4)
        ?.toString() ?? '';
    return leader === '' ? null : Number(leader.slice(1));
  }

  async appliedBy(i) {
    return Number(parse((await this.#status(i, 5_000)).get(5)).get(9) ?? 0n);
  }

  /** A phase that runs, a document, and loops for more of them. */
  async prepare() {
    const leader = await this.settled();
    await until('quorate: the feature level of this release', async () => {
      const level = Number((await this.#status(leader)).get(7) ?? 0n);
      return level >= FEATURE_LEVEL ? level : null;
    });
    // The detector leaves a phase alone that may take a day.
    const plan = message(field(1, PLAN), field(2, message(field(1, PHASE), field(2, DAY_MS))));
    await this.call(leader, phases('RegisterPlan', field(2, plan)));
    for (let n = 0; n < LOOPS; n += 1) await this.call(leader, phases('CreateLoop', field(2, `loop-${n}`)));
    this.#token = await this.#begin((call) => this.call(leader, call), KEY);
    await this.call(leader, this.#put(KEY, KEY, 0, VALUE));
    await this.call(leader, this.write);
  }

  async #begin(send, loop) {
    await send(phases('CreateLoop', field(2, loop), field(3, PLAN)));
    return parse(await send(phases('BeginPhase', field(2, refOf(loop))))).get(3);
  }

  #put(loop, name, expectedVersion, value) {
    const key = [field(2, loop), field(3, name), field(4, expectedVersion), field(5, value)];
    return { path: '/quorate.v1.DocumentService/PutDocument', body: message(HEADER, ...key) };
  }

  /** Progress of a phase, with a note: what the product writes most often. */
  get write() {
    const progress = [field(2, refOf(KEY)), field(3, this.#token), field(4, 1), field(5, 2), field(6, VALUE)];
    return phases('ReportProgress', ...progress);
  }
  get read() {
    return { path: '/quorate.v1.DocumentService/GetDocument', body: message(field(1, KEY), field(2, KEY)) };
  }
  keyedWrite(n, version, value = VALUE) {
    return this.#put(loopOf(n), keyOf(n), version - 1, value);
  }

  /** A checkpoint takes the place of the one before. */
  overwrite(n, value) {
    const token = this.#overwriteTokens[n];
    return phases('ReportProgress', field(2, refOf(`run-${n}`)), field(3, token), field(8, field(1, value)));
  }
  async prepareOverwrites(count) {
    const leader = await this.settled();
    for (let n = 0; n < count; n += 1)
      this.#overwriteTokens[n] = await this.#begin((call) => this.call(leader, call), `run-${n}`);
  }

  watch = { path: '/quorate.v1.WatchService/Watch', body: field(2, KEY), bidirectional: false };
  eventsIn(response) {
    return countField(response, 1);
  }

  /** BEGIN and COMMIT of a phase; the loop's next round is the next trip. `round`: from 0, without a gap. */
  async roundTrip(load, lane, round) {
    const ref = field(2, refOf(`trip-${lane}`, round + 1));
    const token = parse(await load.call(phases('BeginPhase', ref))).get(3);
    await load.call(phases('CommitPhase', ref, field(3, token)));
  }
  async prepareTrips(lanes) {
    const leader = await this.settled();
    for (let lane = 0; lane < lanes; lane += 1)
      await this.call(leader, phases('CreateLoop', field(2, `trip-${lane}`), field(3, PLAN)));
  }
}
