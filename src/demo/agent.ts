/**
 * The archiving agent: takes a folder through ANALYZE → BLUEPRINT → CONSTRUCT → VALIDATE → IDLE. It keeps nothing but
 * its journal; where it goes on after a kill comes from the cluster alone (P5).
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type PhaseBegun, type PhaseRef, type PhaseRun, QuorateClient, type Session } from '../client/client.ts';
import { forEachParallel, hashOfArchive, sha256, syncFolders, writeArchive } from './archive.ts';
import { type AgentPort, performAttempt } from './attempt.ts';
import { Journal } from './journal.ts';
import type { HoldPoint } from './protocol.ts';
import { Recorder, settled } from './recorder.ts';
import { walkFolder } from './walk.ts';

/** Files in work at once. */
const PARALLEL = 8;
const SESSION_TTL_MS = 30_000;
/** Mutations ride out a failover inside one deadline, milliseconds. */
const DEADLINE_MS = 15_000;

export interface AgentOptions {
  readonly endpoints: readonly string[];
  readonly caller: string;
  readonly loop: string;
  readonly g: number;
  readonly folder: string;
  readonly outFolder: string;
  readonly journal: string;
  readonly holds: readonly HoldPoint[];
  /** Take over a phase that runs already. Only for who knows that its holder is gone. */
  readonly takeOver: boolean;
}

interface Work {
  readonly options: AgentOptions;
  readonly client: QuorateClient;
  readonly ref: PhaseRef;
  readonly recorder: (total: number, done: number, sync?: (ids: readonly string[]) => Promise<void>) => Recorder;
}

/** What BLUEPRINT keeps of a file, as the text of a sub-step. */
interface Blueprint {
  readonly bytes: number;
  readonly sha256: string;
}

async function analyze({ options }: Work): Promise<string> {
  const { files, bytes, skipped } = await walkFolder(options.folder);
  return JSON.stringify({ files: files.length, bytes, skipped });
}

async function blueprint(work: Work): Promise<string> {
  const { folder } = work.options;
  const { files, bytes } = await walkFolder(folder);
  const known = await recordedSubSteps(work, 'BLUEPRINT');
  const recorder = work.recorder(files.length, known.size);
  const left = files.filter((file) => !known.has(file.path));
  await forEachParallel(left, PARALLEL, (file) =>
    recorder.perform(file.path, async () => {
      const content = await readFile(join(folder, file.path));
      const plan: Blueprint = { bytes: content.byteLength, sha256: sha256(content) };
      return JSON.stringify(plan);
    }),
  );
  await recorder.finish();
  return JSON.stringify({ subSteps: files.length, bytes });
}

async function construct(work: Work): Promise<string> {
  const { folder, outFolder } = work.options;
  const plan = await recordedSubSteps(work, 'BLUEPRINT');
  const done = await recordedSubSteps(work, 'CONSTRUCT');
  const recorder = work.recorder(plan.size, done.size, (ids) => syncFolders(outFolder, ids));
  const left = [...plan].filter(([path]) => !done.has(path));
  await forEachParallel(left, PARALLEL, ([path, text]) =>
    recorder.perform(path, async () => {
      const { sha256: hash } = JSON.parse(text) as Blueprint;
      return JSON.stringify({ archiveBytes: await writeArchive(folder, outFolder, path, hash) });
    }),
  );
  await recorder.finish();
  return JSON.stringify({ archives: plan.size, byThisAttempt: left.length });
}

async function validate(work: Work): Promise<string> {
  const plan = await recordedSubSteps(work, 'BLUEPRINT');
  const done = await recordedSubSteps(work, 'VALIDATE');
  const recorder = work.recorder(plan.size, done.size);
  const left = [...plan].filter(([path]) => !done.has(path));
  await forEachParallel(left, PARALLEL, ([path, text]) =>
    recorder.perform(path, async () => {
      const { sha256: wanted } = JSON.parse(text) as Blueprint;
      if ((await hashOfArchive(work.options.outFolder, path)) !== wanted) {
        throw new Error(`the archive of ${path} does not hold what the file held`);
      }
      return 'equal';
    }),
  );
  await recorder.finish();
  return JSON.stringify({ equal: plan.size });
}

const PHASES: Readonly<Record<string, (work: Work) => Promise<string>>> = {
  ANALYZE: analyze,
  BLUEPRINT: blueprint,
  CONSTRUCT: construct,
  VALIDATE: validate,
  IDLE: async () => '',
};

/** The sub-steps of a phase of this round that are on record, with their results. */
async function recordedSubSteps({ client, ref }: Work, phase: string): Promise<ReadonlyMap<string, string>> {
  const steps = new Map<string, string>();
  for await (const { id, result } of client.listSubSteps({ ...ref, phase })) steps.set(id, result);
  return steps;
}

async function begin(session: Session, run: PhaseRun, takeOver: boolean): Promise<PhaseBegun> {
  const running = run.state === 'RUNNING';
  if (running && !takeOver) {
    throw new Error(`${run.ref.phase} is held by ${run.caller}; wait for it, or take it over when it is gone for good`);
  }
  return settled(session.beginPhase(run.ref, { supersedeAttempt: running ? run.attempt : 0 }));
}

/** Runs what is left of one round. */
export async function runAgent(options: AgentOptions, port: AgentPort): Promise<void> {
  const { endpoints, caller } = options;
  await using client = await QuorateClient.connect({ endpoints, caller, deadlineMs: DEADLINE_MS });
  await using session = await client.openSession({ ttlMs: SESSION_TTL_MS });
  const journal = new Journal(options.journal);
  const holds = [...options.holds];
  const { loop } = await client.getLoop(options.loop);
  if (loop.g !== options.g) throw new Error(`the open round of ${loop.name} is ${loop.g}, not ${options.g}`);
  for (const run of loop.runs) {
    if (run.state === 'CLEAN_EXIT') continue;
    const { ref } = run;
    const phase = PHASES[ref.phase];
    if (phase === undefined) throw new Error(`this agent does not know the phase ${ref.phase}`);
    const begun = await begin(session, run, options.takeOver);
    const { attempt, token } = begun;
    const recorder: Work['recorder'] = (total, done, sync) =>
      new Recorder({
        session,
        ref,
        attempt,
        token,
        total,
        done,
        journal,
        holds,
        ...port,
        ...(sync === undefined ? {} : { sync }),
      });
    await performAttempt({ session, ref, begun, tell: port.tell }, () => phase({ options, client, ref, recorder }));
  }
  journal.close();
}
