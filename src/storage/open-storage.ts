/**
 * Opens what a member keeps on disk, and decides what it can still vouch for (W4).
 *
 * ST1  `recovering.json` is durable before anything damaged is moved, and says how to go on after a crash.
 * ST2  Nothing is deleted: what is damaged is kept in `damaged-<ms since the epoch>-wal` and `-store`.
 * ST3  A new log begins with a hard state that the member is known to have reached at least: from a copy that is intact.
 *      Without one the member might vote twice in a term, and refuses to start.
 * ST4  The only member of a cluster has nobody to recover from: it refuses to start, and leaves everything where it is.
 * ST5  A member that may have acknowledged before its fsync (`async.json`, A2) is taken for one that lost a part of its log, however
 *      sound its log looks. The log stays in place, and `recovering.json` is durable before `async.json` goes.
 */
import type { Disk } from '../ports/disk.ts';
import type { HardState, SnapshotMark } from '../raft/types.ts';
import type { Store } from '../store/types.ts';
import { must } from '../types/assert.ts';
import type { StreamId } from '../types/ids.ts';
import { newerHardState, openHardStateCopy, sameHardState } from '../wal/hard-state-copy.ts';
import { newestHardStates } from '../wal/inspect.ts';
import { type HardStateCopy, type Wal, WalError } from '../wal/types.ts';
import { openWal } from '../wal/wal.ts';
import { ASYNC_FILE, hasAsyncMarker, removeAsyncMarker, writeAsyncMarker } from './async-marker.ts';
import { folderDisk } from './folder-disk.ts';
import { BEGINNING, lacksTerm, misfit, termAt } from './judge.ts';
import { type Marker, readMarker, removeMarker, type StorageProblem, writeMarker } from './marker.ts';
import type { Storage, StorageOptions, StorageReport } from './types.ts';

/** Idempotent: after a crash at any point the next call goes on. Rejects with WalError, StoreError or the disk's error. */
export async function openStorage(options: StorageOptions): Promise<Storage> {
  const marker = await afterAsync(options.root, await readMarker(options.root));
  if (marker !== null && marker.phase !== 'running') return carryOut(options, marker);
  return open(options, marker);
}

/** ST5 */
async function afterAsync(root: Disk, known: Marker | null): Promise<Marker | null> {
  if (!(await hasAsyncMarker(root))) return known;
  const message =
    'The member stopped without warning while it was permitted to acknowledge writes before its fsync (quorate permit-async): what ' +
    'it acknowledged last may be lost here.';
  const problem: StorageProblem = { file: labelOf(root, ASYNC_FILE), offset: 0, message };
  const marker: Marker = known ?? { phase: 'running', log: '', store: null, problem, hardStates: new Map() };
  if (known === null) await writeMarker(root, marker);
  await removeAsyncMarker(root);
  return marker;
}

// ---------------------------------------------------------------------------------------------- what is there

/** What could be opened of store and log, and what was wrong with the rest. */
interface Opened {
  readonly copy: HardStateCopy;
  wal: Wal | null;
  store: Store | null;
  walProblem: StorageProblem | null;
  storeProblem: StorageProblem | null;
}

async function open(options: StorageOptions, marker: Marker | null): Promise<Storage> {
  const { clusterId, memberId } = options.wal;
  const copy = await openHardStateCopy(options.root, { clusterId, memberId });
  const opened: Opened = { copy, wal: null, store: null, walProblem: null, storeProblem: null };
  try {
    await openParts(options, opened);
    const rebuilt = await rebuildable(options, opened);
    if (!rebuilt) await judge(options, opened);
    if (opened.walProblem !== null || opened.storeProblem !== null) return await recover(options, opened);
    const { wal, store } = { wal: must(opened.wal, 'the log is open'), store: must(opened.store, 'the store is open') };
    await finishInstalling(wal, store);
    // What the log lacks the store has, but perhaps only in the page cache: its oldest segment may be lost instead of cut, and then
    // nobody has synced the store for it (known-bugs S3; found by simulation: a power cut after that put the store back before the log).
    if (wal.streams.some(({ firstIndex }) => firstIndex > 1)) await store.sync();
    await repairCopy(copy, wal);
    const report = marker === null && rebuilt !== null ? rebuilt : reportOf(options.root, marker);
    return storageOf(options.root, wal, store, report);
  } catch (error) {
    await closeParts(opened);
    throw error;
  }
}

async function openParts(options: StorageOptions, opened: Opened): Promise<void> {
  const { root, logFolder, storeProblem } = options;
  const log = folderDisk(root, logFolder);
  try {
    opened.wal = await openWal(log, options.clock, { ...options.wal, hardStateCopy: opened.copy });
  } catch (error) {
    if (!(error instanceof WalError) || error.problem !== 'corrupt') throw error;
    opened.walProblem = { file: error.file, offset: error.offset, message: error.message };
  }
  try {
    if (storeProblem !== undefined) throw storeProblem;
    opened.store = await options.openStore();
  } catch (error) {
    if (error !== storeProblem && !isDamage(error)) throw error;
    opened.storeProblem = problemOfStore(error);
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === 'corrupt';
}

function problemOfStore(error: unknown): StorageProblem {
  const path = (error as { path?: unknown }).path;
  const message = error instanceof Error ? error.message : String(error);
  return { file: typeof path === 'string' ? path : 'store', offset: 0, message };
}

/** The store is lost and the log is complete: then the store is moved aside, and the log brings it back. */
async function rebuildable(options: StorageOptions, opened: Opened): Promise<StorageReport | null> {
  const { wal, storeProblem } = opened;
  if (wal === null || storeProblem === null) return null;
  const complete = wal.streams.length > 0 && wal.streams.every(({ firstIndex }) => firstIndex === 1);
  if (!complete) return null;
  const name = await asideName(options, 'store');
  await options.moveStoreAside(name);
  opened.store = await options.openStore();
  opened.storeProblem = null;
  return { kind: 'rebuilt', problem: storeProblem, movedAside: [labelOf(options.root, name)] };
}

async function judge(options: StorageOptions, opened: Opened): Promise<void> {
  const { wal, store } = opened;
  if (wal === null || store === null) return;
  for (const stream of options.streams) {
    const log = wal.streams.find((candidate) => candidate.stream === stream) ?? null;
    const problem = misfit(log, await store.state(stream));
    if (problem === null) continue;
    const file = labelOf(options.root, options.logFolder);
    opened.walProblem = { file, offset: 0, message: `The log in ${file} does not fit the store: ${problem}.` };
    return;
  }
}

/** A crash came between the installation of an image and the log's being told. */
async function finishInstalling(wal: Wal, store: Store): Promise<void> {
  for (const { stream } of wal.streams) {
    const { mark, installing } = await store.state(stream);
    if (!installing || mark === null) continue;
    const log = must(
      wal.streams.find((candidate) => candidate.stream === stream),
      'the log holds the stream',
    );
    await wal.reset(stream, mark, termAt(log, mark.index) === mark.term);
    await store.installed(stream);
  }
}

/** The log is whole and newer than the copy, or the copy was damaged. */
async function repairCopy(copy: HardStateCopy, wal: Wal): Promise<void> {
  // One that was damaged is made anew. It has to know from the start how far the log has gone on: else the next start would take a log
  // without its last segments for whole.
  if (copy.recovered.kind === 'damaged') await copy.noteSegment(wal.newestSegment);
  for (const { stream, hardState } of wal.streams) {
    const known = copy.recovered.kind === 'sound' ? copy.recovered.states.get(stream) : undefined;
    if (known === undefined || !sameHardState(known, hardState)) await copy.write(stream, hardState);
  }
}

// ---------------------------------------------------------------------------------------------- what is lost

/** Sets about recovering: what is damaged goes aside, and a new log begins where the store stands. */
async function recover(options: StorageOptions, opened: Opened): Promise<Storage> {
  const problem = must(opened.walProblem ?? opened.storeProblem, 'something is damaged');
  const marks = opened.store === null ? [] : await Promise.all(options.streams.map((s) => opened.store?.state(s)));
  const useless = opened.store === null || marks.some((state) => state?.mark != null && lacksTerm(state.mark));
  if (options.streams.every((_, i) => isAlone(options, useless ? null : (marks[i]?.mark ?? null))))
    throw alone(problem);
  const hardStates = await vouchedHardStates(options, opened, problem);
  for (const [i, stream] of options.streams.entries()) {
    const reached = useless ? 0 : (marks[i]?.mark?.term ?? 0);
    if ((hardStates.get(stream)?.term ?? 0) < reached) throw refusal(problem, `the store has seen term ${reached}`);
  }
  const begins = useless || marks.some((state) => state?.mark == null);
  if (begins && options.founding === null) {
    throw refusal(problem, 'nothing that is left says which members the cluster was begun with');
  }
  await closeParts(opened);
  const log = await asideName(options, 'wal');
  const store = useless ? await asideName(options, 'store') : null;
  const marker: Marker = { phase: 'aside', log, store, problem, hardStates };
  await writeMarker(options.root, marker);
  return carryOut(options, marker);
}

/** Is this the only member that the cluster has, as far as the store and the first settings tell? Then nobody has a copy. */
function isAlone({ wal, founding }: StorageOptions, mark: SnapshotMark | null): boolean {
  const configuration = mark?.configuration.configuration ?? founding;
  if (configuration === null) return false;
  const { voters, votersOutgoing, learners } = configuration;
  return [...voters, ...votersOutgoing, ...learners].every((id) => id === wal.memberId) && voters.length === 1;
}

/** Nothing was moved: what is there is all there is. */
function alone(problem: StorageProblem): WalError {
  return new WalError(
    'corrupt',
    problem.file,
    problem.offset,
    `${problem.message} This member is the only one of its cluster, so that there is no other to recover from: nothing is served, ` +
      'and nothing was moved. Put the data folder back as it was when the member stopped last, or restore a backup: ' +
      '`quorate restore`.',
  );
}

/** ST3 */
async function vouchedHardStates(
  options: StorageOptions,
  opened: Opened,
  problem: StorageProblem,
): Promise<ReadonlyMap<StreamId, HardState>> {
  const { recovered } = opened.copy;
  if (recovered.kind === 'damaged') {
    // A log that is whole knows its hard states itself; only the store is lost then.
    if (opened.wal === null || opened.walProblem !== null) {
      throw refusal(problem, `${recovered.file} is damaged too, at offset ${recovered.offset}: ${recovered.problem}`);
    }
    return new Map(opened.wal.streams.map(({ stream, hardState }) => [stream, hardState]));
  }
  const told = await newestHardStates(folderDisk(options.root, options.logFolder));
  if (told === null) throw refusal(problem, 'its records tell of two votes in one term');
  const states = new Map<StreamId, HardState>();
  for (const stream of options.streams) {
    const copied = recovered.states.get(stream);
    const logged = opened.wal?.streams.find((candidate) => candidate.stream === stream)?.hardState;
    const known = copied ?? (opened.walProblem === null ? logged : undefined);
    if (known === undefined) throw refusal(problem, 'there is no copy of what this member voted');
    const newest = newerHardState(known, told.get(stream) ?? known);
    if (newest === null) throw refusal(problem, 'log and copy tell of two votes in one term');
    states.set(stream, newest);
  }
  return states;
}

function refusal(problem: StorageProblem, reason: string): WalError {
  return new WalError(
    'corrupt',
    problem.file,
    problem.offset,
    `${problem.message} The member can not recover from its peers either: ${reason}, so that it can not tell what it voted. ` +
      'Keep the data folder, and replace the member (`quorate member replace`); where it is the only one, restore a backup ' +
      'into a new cluster (`quorate restore`).',
  );
}

/** From wherever a crash left it. */
async function carryOut(options: StorageOptions, start: Marker): Promise<Storage> {
  const { root, logFolder } = options;
  let marker = start;
  if (marker.phase === 'aside') {
    await moveFiles(root, logFolder, marker.log);
    if (marker.store !== null) await options.moveStoreAside(marker.store);
    marker = { ...marker, phase: 'fresh' };
    await writeMarker(root, marker);
  }
  const { clusterId, memberId } = options.wal;
  const copy = await openHardStateCopy(root, { clusterId, memberId });
  // The new log is empty, and the copy is what it is about to begin with: neither is judged by the other.
  const unjudged: HardStateCopy = {
    recovered: { kind: 'sound', states: new Map(), segment: 0 },
    noteSegment: (sequence) => copy.noteSegment(sequence),
    write: (stream, hardState) => copy.write(stream, hardState),
    close: () => copy.close(),
  };
  const opened: Opened = { copy, wal: null, store: null, walProblem: null, storeProblem: null };
  try {
    opened.store = await options.openStore();
    opened.wal = await openWal(folderDisk(root, logFolder), options.clock, { ...options.wal, hardStateCopy: unjudged });
    await startStreams(options, marker, opened.wal, opened.store);
    await opened.wal.close();
    await opened.store.close();
  } catch (error) {
    await closeParts(opened);
    throw error;
  }
  const running: Marker = { ...marker, phase: 'running' };
  await writeMarker(root, running);
  return open(options.storeProblem === undefined ? options : withoutProblem(options), running);
}

/** What the loader found wrong was moved aside. */
function withoutProblem(options: StorageOptions): StorageOptions {
  const { storeProblem: _, ...rest } = options;
  return rest;
}

/** The log begins where the store stands, so what the store has must be durable first: no log brings it back (known bug S3). */
async function startStreams(options: StorageOptions, marker: Marker, wal: Wal, store: Store): Promise<void> {
  await store.sync();
  for (const stream of options.streams) {
    if (wal.streams.some((candidate) => candidate.stream === stream)) continue;
    const { mark, installing } = await store.state(stream);
    const hardState = must(marker.hardStates.get(stream), 'the marker knows the stream');
    await wal.start(stream, hardState, mark ?? beginning(options));
    if (installing) await store.installed(stream);
  }
}

/** Before the first entry. Judged before anything was moved (`recover`). */
function beginning({ founding }: StorageOptions): SnapshotMark {
  const configuration = must(founding, 'who the cluster was begun with is known');
  return { ...BEGINNING, configuration: { index: BEGINNING.index, configuration } };
}

/** Durable when it resolves. What was moved before a crash stays where it is. */
async function moveFiles(root: Disk, from: string, to: string): Promise<void> {
  await root.makeFolder(to);
  for (const name of await root.list(from)) await root.rename(`${from}/${name}`, `${to}/${name}`);
  await root.syncFolder(to);
  await root.makeFolder(from);
  await root.syncFolder(from);
  await root.syncFolder('');
}

// ---------------------------------------------------------------------------------------------- what is handed out

function reportOf(root: Disk, marker: Marker | null): StorageReport {
  if (marker === null) return { kind: 'sound', problem: null, movedAside: [] };
  // Nothing was moved for a log that is sound (ST5).
  const aside = [marker.log, marker.store ?? ''].filter((name) => name !== '');
  return { kind: 'recovering', problem: marker.problem, movedAside: aside.map((name) => labelOf(root, name)) };
}

function storageOf(root: Disk, wal: Wal, store: Store, report: StorageReport): Storage {
  let finished: Promise<void> | null = null;
  const recovering = report.kind === 'recovering';
  return {
    wal,
    store,
    recovering,
    report,
    finishRecovery: () => {
      finished ??= recovering ? removeMarker(root) : Promise.resolve();
      return finished;
    },
    asyncMark: { write: () => writeAsyncMarker(root), remove: () => removeAsyncMarker(root) },
  };
}

async function closeParts({ wal, store, copy }: Opened): Promise<void> {
  await Promise.allSettled([wal?.close(), store?.close()]);
  await copy.close();
}

/** A name that nothing has yet. */
async function asideName({ root, clock }: StorageOptions, what: 'wal' | 'store'): Promise<string> {
  const names = new Set(await root.list(''));
  for (let ms = Math.floor(clock.wallMs()); ; ms += 1) {
    const name = `damaged-${ms}-${what}`;
    if (!names.has(name)) return name;
  }
}

function labelOf(root: Disk, path: string): string {
  return root.locate?.(path) ?? path;
}
