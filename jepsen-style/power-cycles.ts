/**
 * The power of all members fails at once, again and again, under writers that remember what was acknowledged: `npm run chaos --
 * --power-cycles N`. Everything acknowledged has to come off the disks (issue 5, done when 4). Each disk is held to account by itself, too: a
 * member that has to be told by the others what it forgot is a finding, and so is one that does not come back.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { QuorateClient, QuorateError } from '../src/client/client.ts';
import { Cluster, SMALL_LOG } from './cluster/cluster.ts';
import { Ground } from './cluster/ground.ts';
import { checkCores, TRACE_FOLDER, type Verdict } from './hooks.ts';
import { EXIT } from './judge.ts';
import { Random } from './random.ts';
import { mutationFailure } from './record/outcome.ts';
import { eventually, pause } from './system/exec.ts';
import { hasGround, type Tools } from './system/tools.ts';

export interface PowerCyclesInput {
  readonly cycles: number;
  readonly members: number;
  readonly seed: number;
  readonly tools: Tools;
  readonly dir: string;
  /** Entry of the command line that the members run. */
  readonly cli: string;
  readonly log: (line: string) => void;
  /** Told of the cluster as soon as it stands: whoever ends this has to take it down. */
  readonly onCleanUp: (cleanUpNow: () => void) => void;
}

const LOOP = 'power';
const WRITERS = 8;
/** A cut comes after this many acknowledged writes, and some milliseconds. */
const WRITES_BEFORE_CUT = [10, 120] as const;
const CUT_AFTER_MS = 15;
/** Between one disk and the next, where they do not go at the same moment. */
const STAGGER_MS = 25;
const WRITE_MS = 3_000;
const SERVE_MS = 60_000;
const PROGRESS_EVERY = 50;
/** Chance text of this length goes with each number: more than a sector, so that writes can be torn. */
const PADDING = 3_000;

/** A version of a document, which count its writes, and the text that it has; each text is written once. */
interface Version {
  readonly version: number;
  readonly text: string;
}

/** One document with one writer. */
interface Writer {
  readonly name: string;
  /** The newest one that was acknowledged, or found. */
  acknowledged: Version;
  /** What the write whose outcome is not known would make; null: there is none. */
  attempted: Version | null;
}

const NOTHING: Version = { version: 0, text: '' };

interface Totals {
  cycles: number;
  cuts: number;
  acknowledged: number;
  /** Writes whose outcome the cut left open, and how many of them were found to be carried out. */
  open: number;
  openCarriedOut: number;
}

class PowerCycles {
  readonly #input: PowerCyclesInput;
  readonly #cluster: Cluster;
  readonly #client: QuorateClient;
  readonly #random: Random;
  readonly #writers: readonly Writer[];
  readonly totals: Totals = { cycles: 0, cuts: 0, acknowledged: 0, open: 0, openCarriedOut: 0 };
  readonly #findings: string[];
  #texts = 0;

  constructor(input: PowerCyclesInput, cluster: Cluster, client: QuorateClient, findings: string[]) {
    this.#input = input;
    this.#cluster = cluster;
    this.#client = client;
    this.#findings = findings;
    this.#random = new Random(input.seed, 'power');
    this.#writers = Array.from({ length: WRITERS }, (_, i) => ({
      name: `w${i}`,
      acknowledged: NOTHING,
      attempted: null,
    }));
  }

  async run(): Promise<void> {
    const { cycles, log } = this.#input;
    await this.#client.withoutSession.createLoop(LOOP, { deadlineMs: SERVE_MS });
    while (this.totals.cycles < cycles && this.#findings.length === 0) {
      await this.#cycle();
      this.totals.cycles += 1;
      const { acknowledged, cuts, open } = this.totals;
      if (this.totals.cycles % PROGRESS_EVERY === 0)
        log(`${this.totals.cycles} cycles: ${cuts} disks cut, ${acknowledged} writes acknowledged, ${open} left open`);
    }
  }

  async #cycle(): Promise<void> {
    const before = this.totals.acknowledged;
    let over = false;
    const work = this.#writers.map((writer) => this.#write(writer, () => over));
    const wanted = before + this.#random.between(...WRITES_BEFORE_CUT);
    if (!(await eventually(() => this.totals.acknowledged >= wanted, SERVE_MS, 2)))
      this.#findings.push(`cycle ${this.totals.cycles}: writes are not carried out for ${SERVE_MS / 1000} s`);
    await pause(this.#random.between(0, CUT_AFTER_MS));
    // They go on writing while the disks go, one after the other.
    await this.#cut();
    over = true;
    await Promise.all(work);
    await this.#check();
  }

  /** Writes one after the other until the power fails, or until it is over. */
  async #write(writer: Writer, over: () => boolean): Promise<void> {
    while (!over()) {
      const { version: expectedVersion } = writer.acknowledged;
      const text = textOf(++this.#texts, this.#random);
      const attempted: Version = { version: expectedVersion + 1, text };
      try {
        const options = { expectedVersion, deadlineMs: WRITE_MS };
        const { version } = await this.#client.withoutSession.documents.put(LOOP, writer.name, text, options);
        if (version !== attempted.version) this.#findings.push(`${writer.name}: ${version} follows ${expectedVersion}`);
        writer.acknowledged = attempted;
        this.totals.acknowledged += 1;
      } catch (error) {
        // Anything else says that it was certainly not carried out, and is held to that.
        if (mutationFailure(error).type === 'info') writer.attempted = attempted;
        return;
      }
    }
  }

  async #cut(): Promise<void> {
    const { slots, ground } = this.#cluster;
    const order = this.#random.shuffle(slots);
    const staggerMs = this.#random.chance(0.5) ? 0 : this.#random.between(1, STAGGER_MS);
    // Whoever notices before it is killed says so and ends.
    for (const slot of slots) this.#cluster.member(slot).expectExit();
    await Promise.all(
      order.map(async (slot, i) => {
        await pause(i * staggerMs);
        await ground.disks[slot]?.cutPower();
        await this.#cluster.member(slot).kill();
      }),
    );
    this.totals.cuts += slots.length;
    await Promise.all(
      slots.map(async (slot) => {
        await ground.disks[slot]?.unmount();
        await ground.disks[slot]?.mount();
      }),
    );
    for (const slot of slots) this.#cluster.member(slot).start();
  }

  /** Everybody is there with all of its disk, not only as many as are needed. */
  async #whole(): Promise<boolean> {
    const well = async (): Promise<boolean> => {
      const seen = await this.#cluster.statuses();
      const recovering = seen.find(({ status }) => status.streams[0]?.recovering === true);
      if (recovering !== undefined)
        this.#findings.push(`cycle ${this.totals.cycles}: m${recovering.slot} has lost a part of what was durable`);
      const ready = seen.filter(
        ({ status }) => status.fault === null && (status.streams[0]?.leaderId ?? null) !== null,
      );
      return recovering !== undefined || ready.length === this.#cluster.members.length;
    };
    return eventually(well, SERVE_MS, 20);
  }

  /** Every document has what was acknowledged last, or what was under way. */
  async #check(): Promise<void> {
    const cycle = `cycle ${this.totals.cycles}`;
    if (!(await this.#whole())) {
      this.#findings.push(`${cycle}: not all members are back after ${SERVE_MS / 1000} s`);
      return;
    }
    for (const writer of this.#writers) {
      const found = await this.#read(writer.name);
      if (found === null) {
        this.#findings.push(`${cycle}, ${writer.name}: it cannot be read ${SERVE_MS / 1000} s after the power is back`);
        return;
      }
      const { acknowledged, attempted } = writer;
      const kept = isSame(found, acknowledged);
      const carriedOut = attempted !== null && isSame(found, attempted);
      if (!kept && !carriedOut)
        this.#findings.push(`${cycle}, ${writer.name}: ${differenceOf(found, acknowledged, attempted)}`);
      if (attempted !== null) {
        this.totals.open += 1;
        if (carriedOut) this.totals.openCarriedOut += 1;
      }
      writer.acknowledged = found;
      writer.attempted = null;
    }
  }

  /** null: not within the time. */
  async #read(name: string): Promise<Version | null> {
    let found: Version | null = null;
    const read = async (): Promise<boolean> => {
      try {
        const { version, content } = await this.#client.documents.get(LOOP, name, { deadlineMs: WRITE_MS });
        found = { version, text: content };
        return true;
      } catch (error) {
        if (!(error instanceof QuorateError && error.reason === 'DOCUMENT_NOT_FOUND')) return false;
        found = NOTHING;
        return true;
      }
    };
    await eventually(read, SERVE_MS, 20);
    return found;
  }
}

function isSame(left: Version, right: Version): boolean {
  return left.version === right.version && left.text === right.text;
}

function differenceOf(found: Version, acknowledged: Version, attempted: Version | null): string {
  const show = ({ version, text }: Version): string => `version ${version} (text ${text.split(' ')[0]})`;
  const open = attempted === null ? '' : `, ${show(attempted)} was under way`;
  const lost = found.version < acknowledged.version ? 'LOST: ' : '';
  return `${lost}${show(acknowledged)} was acknowledged${open}, and ${show(found)} is there`;
}

function textOf(number: number, random: Random): string {
  const padding = Array.from({ length: PADDING }, () => String.fromCodePoint(random.between(33, 126))).join('');
  return `${number} ${padding}`;
}

/** Resolves with an exit code of `EXIT`. */
export async function powerCycles(input: PowerCyclesInput): Promise<number> {
  const { tools, members, dir, cli, log, onCleanUp, cycles, seed } = input;
  if (!hasGround(tools) || tools.power !== null)
    throw new RangeError(`--power-cycles needs disks of its own: ${tools.disks ?? tools.power ?? tools.namespaces}`);
  mkdirSync(dir, { recursive: true });
  const ground = await Ground.make('namespaces', members, join(dir, 'members'));
  let cluster: Cluster | null = null;
  const cleanUpNow = (): void => {
    cluster?.killNow();
    ground.removeNow();
  };
  onCleanUp(cleanUpNow);
  const findings: string[] = [];
  const startedAt = new Date();
  cluster = await Cluster.start(ground, {
    cli,
    members,
    flags: [...SMALL_LOG, '--trace-folder', join(dir, TRACE_FOLDER)],
    env: () => ({}),
    onExit: ({ id, code, signal }) => findings.push(`${id} ended by itself (${signal ?? `exit code ${code}`})`),
  });
  const client = await QuorateClient.connect({ endpoints: cluster.endpoints, caller: 'power', deadlineMs: SERVE_MS });
  const cycling = new PowerCycles(input, cluster, client, findings);
  const { totals } = cycling;
  let seconds = 0;
  const write = (verdicts: readonly Verdict[] | null): void => {
    seconds = Math.round((Date.now() - startedAt.getTime()) / 1000);
    const facts = {
      seed,
      startedAt: startedAt.toISOString(),
      seconds,
      members,
      ...totals,
      asked: cycles,
      findings,
      verdicts,
    };
    writeFileSync(join(dir, 'power-cycles.json'), `${JSON.stringify(facts, null, 1)}\n`);
  };
  try {
    await cycling.run();
    // Who has found something already has nothing to wait for.
    const complaints = findings.length > 0 ? [] : await cluster.settle(SERVE_MS);
    for (const complaint of complaints) findings.push(`in the end: ${complaint}`);
  } finally {
    write(null);
  }
  await Promise.race([client.close(), pause(5_000)]);
  await cluster.stop();
  cleanUpNow();
  const verdicts = checkCores(dir, new Set());
  write(verdicts);
  log(`${totals.cycles} cycles in ${seconds} s, ${totals.cuts} disks cut: ${totals.acknowledged} writes acknowledged,`);
  log(`${totals.open} left open by a cut, ${totals.openCarriedOut} of them carried out`);
  for (const line of findings) log(`FINDING: ${line}`);
  for (const { checker, workload, valid, detail } of verdicts) log(`${checker} of ${workload}: ${valid} ${detail}`);
  if (findings.length > 0 || verdicts.some(({ valid }) => valid === false)) return EXIT.violation;
  return verdicts.some(({ valid }) => valid === 'unknown') ? EXIT.unknown : EXIT.well;
}
