/**
 * The demo: a real folder goes through the phases on a real cluster, while members and agents are killed; at the end
 * everything is checked from independent sources.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { QuorateClient, type WatchEvent } from '../client/client.ts';
import type { AgentProcess } from './agent-process.ts';
import { countVerified, readHistory, recordedBy, waitForEqualState } from './checks.ts';
import { type Cleanup, type DemoDeps, runCleanly } from './cleanup.ts';
import { Round, type RoundResult } from './round.ts';
import { writeSample } from './sample.ts';
import { type Walk, walkFolder } from './walk.ts';

const LOOP = 'archive';
const MEMBERS = 3;
const CATCH_UP_MS = 15_000;

export interface DemoOptions {
  /** null: a sample is made. */
  readonly folder: string | null;
  /** null: a temporary folder. */
  readonly outFolder: string | null;
  readonly rounds: number;
  /** Leave temporary folders in place. */
  readonly keep: boolean;
}

/** The last line of `quorate demo --json`. */
export interface DemoResult {
  readonly ok: boolean;
  readonly files: number;
  readonly bytes: number;
  /** Links, sockets and the like that were not archived. */
  readonly skipped: number;
  readonly rounds: number;
  readonly leaderKills: number;
  readonly agentKills: number;
  /** Started again after the cluster had it on record. */
  readonly subStepsRunTwice: number;
  /** In work at the kill and not on record: done again by need. */
  readonly subStepsRedoneUnrecorded: number;
  readonly staleTokenRefusals: number;
  readonly barrierRefusals: number;
  /** Longest time from the death of a leader to the next acknowledged mutation. */
  readonly failoverMs: number;
  /** Files whose archive was read back and holds what the file holds. */
  readonly verified: number;
  readonly events: number;
  readonly durationMs: number;
  readonly outFolder: string | null;
  readonly problems: readonly string[];
}

/** Input that the demo can not work with; the message says what to do. */
export class DemoInputError extends Error {
  override readonly name = 'DemoInputError';
}

interface Folders {
  readonly folder: string;
  readonly outFolder: string;
  readonly scratchFolder: string;
  readonly walk: Walk;
}

async function prepare(options: DemoOptions, cleanup: Cleanup, { view, signal }: DemoDeps): Promise<Folders> {
  const scratchFolder = cleanup.temporary('quorate-demo-', options.keep);
  const folder = options.folder === null ? join(scratchFolder, 'sample') : resolve(options.folder);
  const outFolder = options.outFolder === null ? join(scratchFolder, 'archive') : resolve(options.outFolder);
  if (!relative(folder, outFolder).startsWith('..')) {
    throw new DemoInputError(`--out ${outFolder} lies in the folder that is archived; choose one outside of it`);
  }
  if (options.folder === null) await writeSample(folder, signal);
  try {
    const walk = await walkFolder(folder);
    mkdirSync(outFolder, { recursive: true });
    if (readdirSync(outFolder).length > 0)
      throw new Error(`${outFolder} is not empty; choose an empty folder with --out`);
    if (walk.files.length === 0) throw new Error(`${folder} holds no files; choose another folder with --dir`);
    const skipped = walk.skipped === 0 ? '' : `, ${walk.skipped} skipped (no regular files)`;
    view.event(`${walk.files.length} files, ${(walk.bytes / 1e6).toFixed(1)} MB in ${folder}${skipped}`);
    return { folder, outFolder, scratchFolder, walk };
  } catch (error) {
    throw new DemoInputError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** Follows the loop's events from its creation on, across all kills. */
class Witness implements AsyncDisposable {
  readonly events: WatchEvent[] = [];
  readonly #controller = new AbortController();
  readonly #done: Promise<void>;

  constructor(client: QuorateClient, from: number) {
    this.#done = this.#follow(client, from);
    // Heard of in stop(), at the end.
    this.#done.catch(() => undefined);
  }

  /** Waits for the event that the next round is ready, then stops following. */
  async end(g: number, timeoutMs: number): Promise<void> {
    const endMs = performance.now() + timeoutMs;
    const ready = (): boolean => this.events.some((event) => event.kind === 'phase_ready' && event.g === g);
    while (!ready() && performance.now() < endMs) await new Promise((done) => setTimeout(done, 25));
    await this.stop();
  }

  /** Rejects with what broke the watch, if something did. */
  stop(): Promise<void> {
    this.#controller.abort();
    return this.#done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => undefined);
  }

  async #follow(client: QuorateClient, from: number): Promise<void> {
    const { signal } = this.#controller;
    for await (const event of client.watch({ fromRevision: from, loop: LOOP, signal })) this.events.push(event);
  }
}

/** The live watch, across a killed leader, must have seen just what the history holds. */
async function checkEvents(client: QuorateClient, witness: Witness, from: number, rounds: number): Promise<string[]> {
  await witness.end(rounds + 1, CATCH_UP_MS);
  const { events } = witness;
  const problems: string[] = [];
  const history = await readHistory(client, LOOP, from, events.at(-1)?.revision ?? from);
  const key = (event: WatchEvent): string =>
    `${event.revision}.${event.ordinal} ${event.kind} ${event.phase} ${event.outcome}`;
  if (JSON.stringify(events.map(key)) !== JSON.stringify(history.map(key))) {
    problems.push(`the watch saw ${events.length} events, the history holds ${history.length}`);
  }
  const clean = events.filter((event) => event.kind === 'phase_transition.finished' && event.outcome === 'CLEAN_EXIT');
  const finished = new Set(clean.map((event) => `${event.g} ${event.phase}`));
  if (clean.length !== rounds * 5 || finished.size !== clean.length) {
    problems.push(`${clean.length} phases ended well, not ${rounds * 5}`);
  }
  return problems;
}

async function checkRecords(client: QuorateClient, rounds: number, files: number): Promise<string[]> {
  const problems: string[] = [];
  for (let g = 1; g <= rounds; g++) {
    for (const phase of ['BLUEPRINT', 'CONSTRUCT', 'VALIDATE']) {
      const { size } = await recordedBy(client, { loop: LOOP, g, phase });
      if (size !== files) problems.push(`round ${g}: ${size} sub-steps of ${phase} on record, not ${files}`);
    }
  }
  return problems;
}

function sum(results: readonly RoundResult[], key: Exclude<keyof RoundResult, 'problems'>): number {
  return results.reduce((total, result) => total + result[key], 0);
}

async function runRounds(
  options: DemoOptions,
  deps: DemoDeps,
  folders: Folders,
  cleanup: Cleanup,
): Promise<Omit<DemoResult, 'durationMs' | 'outFolder'>> {
  const { view, signal } = deps;
  const { folder, outFolder, scratchFolder, walk } = folders;
  const dataDir = join(scratchFolder, 'cluster');
  await mkdir(dataDir);
  const cluster = await deps.startCluster(MEMBERS, dataDir);
  cleanup.cluster = cluster;
  signal.throwIfAborted();
  view.event(`${MEMBERS} members run; ${(await cluster.leader())?.id ?? 'nobody'} leads`);
  await using client = await QuorateClient.connect({ endpoints: cluster.endpoints, caller: 'demo', signal });
  cleanup.client = client;
  await using session = await client.openSession({ signal });
  const created = await session.createLoop(LOOP);
  await using witness = new Witness(client, created.revision);
  const results: RoundResult[] = [];
  const problems: string[] = [];
  for (let g = 1; g <= options.rounds; g++) {
    view.reset();
    view.event(`round ${g} of ${options.rounds}`);
    const onAgent = (agent: AgentProcess): void => cleanup.agent(agent);
    const round = new Round(
      { ...deps, cluster, client, session, loop: LOOP, folder, outFolder, scratchFolder, onAgent },
      g,
    );
    const result = await round.run();
    results.push(result);
    problems.push(...result.problems);
    const index = await waitForEqualState(client, MEMBERS, CATCH_UP_MS, signal);
    if (index === null) problems.push(`round ${g}: the members did not come to the same state in ${CATCH_UP_MS} ms`);
    else view.event(`all ${MEMBERS} members hold the same state at index ${index}, the killed one too`);
  }
  problems.push(...(await checkEvents(client, witness, created.revision, options.rounds)));
  problems.push(...(await checkRecords(client, options.rounds, walk.files.length)));
  view.event('reading every archive back and comparing it with its file');
  const verified = await countVerified(folder, outFolder, walk.files);
  const files = walk.files.length;
  if (verified !== files) problems.push(`${files - verified} of ${files} archives do not hold what their file holds`);
  return {
    ok: problems.length === 0,
    files,
    bytes: walk.bytes,
    skipped: walk.skipped,
    rounds: options.rounds,
    leaderKills: sum(results, 'leaderKills'),
    agentKills: sum(results, 'agentKills'),
    subStepsRunTwice: sum(results, 'subStepsRunTwice'),
    subStepsRedoneUnrecorded: sum(results, 'subStepsRedoneUnrecorded'),
    staleTokenRefusals: sum(results, 'staleTokenRefusals'),
    barrierRefusals: sum(results, 'barrierRefusals'),
    failoverMs: Math.max(...results.map((result) => result.failoverMs)),
    verified,
    events: witness.events.length,
    problems,
  };
}

/**
 * Rejects with {@link DemoInputError} for input that it can not work with, and with the signal's reason when that
 * fires. Leaves no process and, but for `keep`, no temporary folder behind.
 */
export function runDemo(options: DemoOptions, deps: DemoDeps): Promise<DemoResult> {
  const startedMs = performance.now();
  return runCleanly(deps, async (cleanup) => {
    const folders = await prepare(options, cleanup, deps);
    deps.signal.throwIfAborted();
    const result = await runRounds(options, deps, folders, cleanup);
    const kept = options.keep || options.outFolder !== null;
    const durationMs = Math.round(performance.now() - startedMs);
    return { ...result, durationMs, outFolder: kept ? folders.outFolder : null };
  });
}
