/** `quorate wal`: a member's log looked at offline. The original is never written to. */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import type { Command } from 'commander';
import { clusterId, isName, memberId } from '../../types/ids.ts';
import type { Finding, InspectOptions, Verification } from '../../wal/inspect.ts';
import { type Context, run, type Shell } from '../context.ts';
import { EXIT, type ExitCode, UsageError } from '../exit-codes.ts';
import { fileProblem, newFileProblem } from '../file-problem.ts';
import { parseId } from '../names.ts';
import { formatBytes, Progress } from '../progress.ts';

const MiB = 1024 * 1024;
/** Of a repaired log, bytes; a member takes any size. */
const SEGMENT_BYTES = 16 * MiB;
const COMPRESS_BYTES_MIN = 1_024;

interface FolderOptions {
  readonly clusterId?: string;
  readonly memberId?: string;
}

/** What only these commands need is loaded when they run. */
async function loadTools() {
  const [inspect, nodeDisk, configuration] = await Promise.all([
    import('../../wal/inspect.ts'),
    import('../../wal/node-disk.ts'),
    import('../../codec/configuration.ts'),
  ]);
  return { ...inspect, NodeDisk: nodeDisk.NodeDisk, decodeConfiguration: configuration.decodeConfiguration };
}

type Tools = Awaited<ReturnType<typeof loadTools>>;

interface OpenLog {
  readonly disk: InstanceType<Tools['NodeDisk']>;
  readonly folder: string;
  readonly options: InspectOptions;
}

function list(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT'
        ? 'there is no such folder'
        : code === 'ENOTDIR'
          ? 'it is no folder'
          : code === 'EACCES'
            ? 'you may not read it'
            : String(error);
    throw new UsageError(`${folder}: ${why}; give the data folder of a member, or the folder of its log`);
  }
}

/** The folder of the log itself, in a data folder or alone. */
function logFolder(path: string): string {
  const isLog = (names: readonly string[]): boolean => names.some((name) => /^\d{12}\.wal$/.test(name));
  const names = list(path);
  if (isLog(names)) return path;
  const inside = join(path, 'wal');
  if (names.includes('wal') && isLog(list(inside))) return inside;
  throw new UsageError(`${path}: there is no log in it; give the data folder of a member, or the folder of its log`);
}

/** What `identity.json` beside the log says; nothing when it cannot be read. */
function identityOf(path: string, folder: string): FolderOptions {
  for (const place of [path, join(folder, '..')]) {
    try {
      const parsed: unknown = JSON.parse(readFileSync(join(place, 'identity.json'), 'utf8'));
      if (typeof parsed === 'object' && parsed !== null) return parsed as FolderOptions;
    } catch {
      // The log says itself whose it is.
    }
  }
  return {};
}

async function openLog(tools: Tools, shell: Shell, path: string, given: FolderOptions): Promise<OpenLog> {
  const base = resolve(shell.cwd, path);
  const folder = logFolder(base);
  const disk = new tools.NodeDisk(folder);
  const { decodeConfiguration } = tools;
  const owner = (ids: FolderOptions): InspectOptions | null => {
    const { clusterId: cluster, memberId: member } = ids;
    if (cluster === undefined || member === undefined || !isName(cluster) || !isName(member)) return null;
    return { clusterId: clusterId(cluster), memberId: memberId(member), decodeConfiguration };
  };
  const known = owner({ ...identityOf(base, folder), ...given });
  if (known !== null) return { disk, folder, options: known };
  // Any ids will do to read the headers.
  const stranger: InspectOptions = { clusterId: clusterId('x'), memberId: memberId('x'), decodeConfiguration };
  const { segments } = await tools.verifyLog(disk, stranger);
  const header = segments.find((segment) => segment.header !== null)?.header;
  const named = header == null ? null : owner(header);
  if (named !== null) return { disk, folder, options: named };
  throw new UsageError(`${folder}: no segment says whose log this is; give --cluster-id and --member-id`);
}

function findingText({ file, offset, bad, message }: Finding): string {
  return `${bad ? 'BAD ' : 'note'}  ${file} at byte ${offset}: ${message}`;
}

function range(first: number, last: number): string {
  return last < first ? `no entries after ${last}` : `entries ${first} to ${last}`;
}

function verificationText(folder: string, { sound, segments, findings, streams }: Verification): string {
  const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
  const records = segments.reduce((sum, segment) => sum + segment.records, 0);
  const lines = [
    `${folder}: ${segments.length} segments, ${records} records, ${formatBytes(bytes)}`,
    ...findings.map(findingText),
    ...streams.map(
      ({ stream, firstIndex, lastIndex, hardState }) =>
        `stream ${stream}: ${range(firstIndex, lastIndex)}, term ${hardState.term}, vote ${hardState.votedFor ?? 'none'}` +
        (sound ? '' : ' (up to the first bad place)'),
    ),
    sound ? 'sound' : `${judgement(findings)}; nothing was changed`,
  ];
  return lines.join('\n');
}

function judgement(findings: readonly Finding[]): string {
  const other = findings.every(({ bad, kind }) => !bad || kind === 'other');
  return other
    ? 'NOT OF THIS MEMBER, or of a newer version: see docs/runbooks/wrong-folder.md'
    : 'DAMAGED: see docs/runbooks/log-damaged.md';
}

async function verify(context: Context, path: string, given: FolderOptions): Promise<ExitCode> {
  const tools = await loadTools();
  const { disk, folder, options } = await openLog(tools, context.shell, path, given);
  const progress = new Progress(context.shell.stderr, context.out.json);
  const verification = await tools
    .verifyLog(disk, options, (label) => {
      context.shell.signal.throwIfAborted();
      progress.show(`reads ${label}`);
    })
    .finally(() => progress.end());
  const { sound, segments, findings, streams } = verification;
  const told = streams.map(({ stream, firstIndex, lastIndex, hardState }) => ({
    stream,
    firstIndex,
    lastIndex,
    hardState,
  }));
  context.out.result({ folder, sound, segments, findings, streams: told }, verificationText(folder, verification));
  return sound ? EXIT.ok : EXIT.unexpected;
}

async function dump(context: Context, path: string, given: FolderOptions): Promise<ExitCode> {
  const tools = await loadTools();
  const { disk } = await openLog(tools, context.shell, path, given);
  let bad = false;
  for await (const record of tools.dumpLog(disk)) {
    context.shell.signal.throwIfAborted();
    const { file, offset, bytes, type, stream, term, firstIndex, entries, hardState } = record;
    const kinds = entries.map(({ index, kind, payload }) => ({ index, kind, bytes: payload.length }));
    bad ||= type === null;
    const last = entries.at(-1);
    const what =
      type === null
        ? 'NOT INTACT'
        : [
            type,
            `stream ${stream}`,
            `term ${term}`,
            last === undefined ? '' : `entries ${firstIndex} to ${last.index}`,
            hardState === null ? '' : `vote ${hardState.votedFor ?? 'none'}`,
          ]
            .filter((part) => part !== '')
            .join('  ');
    context.out.result(
      { ...record, entries: kinds },
      `${file}  ${String(offset).padStart(10)}  ${String(bytes).padStart(8)}  ${what}`,
    );
  }
  return bad ? EXIT.unexpected : EXIT.ok;
}

/** The original is only read: nothing is written into its folder, nor over anything. */
function refuseTarget(data: string, log: string, target: string): void {
  const inside = [data, log].some((folder) => `${target}${sep}`.startsWith(`${folder}${sep}`));
  if (inside)
    throw new UsageError(`${target} is in the folder of the damaged log, which stays as it is; name another one`);
  let names: readonly string[];
  try {
    names = readdirSync(target);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    throw code === 'ENOTDIR' ? new UsageError(`${target} is no folder; name a new one`) : fileProblem(target, error);
  }
  if (names[0] === undefined) return;
  throw new UsageError(`${target} is not empty (${names[0]}); name a new folder for the repaired log`);
}

async function repair(context: Context, path: string, given: FolderOptions & { out: string }): Promise<ExitCode> {
  const { shell, out } = context;
  const tools = await loadTools();
  const { systemClock } = await import('../../server/system-ports.ts');
  const { disk, folder, options } = await openLog(tools, shell, path, given);
  const target = resolve(shell.cwd, given.out);
  refuseTarget(resolve(shell.cwd, path), folder, target);
  // It has its name when it is whole: a part of a log would pass for a sound one.
  await new tools.NodeDisk(dirname(target)).makeFolder('');
  const beside = join(dirname(target), `.${basename(target)}.repairing-`);
  const temporary = await mkdtemp(beside).catch((error: unknown) => {
    throw newFileProblem(target, error);
  });
  const log = { ...options, segmentBytes: SEGMENT_BYTES, compressBytesMin: COMPRESS_BYTES_MIN };
  let repaired: Awaited<ReturnType<Tools['repairLog']>>;
  try {
    repaired = await tools.repairLog(disk, new tools.NodeDisk(temporary), systemClock, log);
    await rename(temporary, target);
    await new tools.NodeDisk(dirname(target)).syncFolder('');
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  const { problem, streams } = repaired;
  const told = streams.map(({ stream, firstIndex, lastIndex }) => ({ stream, firstIndex, lastIndex }));
  const kept = told.map((one) => `stream ${one.stream}: ${range(one.firstIndex, one.lastIndex)}`);
  const lines = [
    `wrote ${target} from ${folder}, which is as it was`,
    ...kept,
    problem === null ? 'all of it could be read' : `what comes after this is left out: ${problem.message}`,
    'a member must not vote on this log: read docs/runbooks/log-damaged.md before you use it',
  ];
  const where = problem === null ? null : { file: problem.file, offset: problem.offset, message: problem.message };
  out.result({ source: folder, target, problem: where, streams: told }, lines.join('\n'));
  return EXIT.ok;
}

function logCommand(wal: Command, name: string, description: string): Command {
  return wal
    .command(name)
    .description(description)
    .argument('<folder>', 'data folder of a member that does not run, or a copy of its log')
    .option('--cluster-id <id>', 'whose log it is, where identity.json is not beside it', parseId)
    .option('--member-id <id>', 'the same', parseId);
}

const EXIT_HELP =
  '\nExit codes: 0 sound, 1 damaged or not readable, 2 wrong usage. Nothing is written to the folder.\n';

export function addWalCommands(program: Command, shell: Shell): void {
  const wal = program.command('wal').description("a member's log, looked at offline: verify, dump, repair");
  logCommand(wal, 'verify', 'name every record that is not intact, with file and offset')
    .addHelpText('after', `${EXIT_HELP}\nExample:\n  quorate wal verify /var/lib/quorate/a`)
    .action((folder: string, options: FolderOptions, command: Command) =>
      run(shell, command, (context) => verify(context, folder, options)),
    );
  logCommand(wal, 'dump', 'print every record; --json gives a line for each')
    .addHelpText(
      'after',
      `${EXIT_HELP}\nExample:\n  quorate wal dump /var/lib/quorate/a --json | jq -c '[.offset, .type]'`,
    )
    .action((folder: string, options: FolderOptions, command: Command) =>
      run(shell, command, (context) => dump(context, folder, options)),
    );
  logCommand(wal, 'repair', 'write a sound log with what is readable into a new folder; the original stays')
    .requiredOption('--out <folder>', 'where to write it; new or empty')
    .addHelpText(
      'after',
      `
The result may lack votes and entries that the member acknowledged: read docs/runbooks/log-damaged.md first.

Example:
  quorate wal repair /var/lib/quorate/a --out /tmp/repaired`,
    )
    .action((folder: string, options: FolderOptions & { out: string }, command: Command) =>
      run(shell, command, (context) => repair(context, folder, options)),
    );
}
