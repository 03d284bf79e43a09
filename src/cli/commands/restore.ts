/** `quorate restore`: a backup as the data folder of a member of a new cluster. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { clusterId, type MemberId, memberId } from '../../types/ids.ts';
import { type Context, parseCount, run, type Shell } from '../context.ts';
import { EXIT, type ExitCode, UsageError } from '../exit-codes.ts';
import { fileProblem } from '../file-problem.ts';
import { parseId } from '../names.ts';
import { formatBytes, Progress } from '../progress.ts';

const MiB = 1024 * 1024;
/** The member takes the log as it is, whatever its own settings are. */
const LOG = { segmentBytes: 16 * MiB, compressBytesMin: 1_024 } as const;

interface RestoreOptions {
  readonly dataDir: string;
  readonly clusterId: string;
  readonly memberId: string;
  readonly members: readonly MemberId[];
  readonly bumpRevision?: number;
}

function parseMembers(text: string): readonly MemberId[] {
  return text.split(',').map((id) => memberId(parseId(id.trim())));
}

/** Opened when it is read: a file that is not there is an error of the read, not of nobody. */
async function* bytesOf(name: string, open: () => AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* open();
  } catch (error) {
    throw fileProblem(name, error);
  }
}

/** What is left is about the new folder: an error of the file system, or what is wrong with the options. */
function explained(name: string, dataDir: string, error: unknown): unknown {
  if (error instanceof Error && error.name === 'BackupError') return fileProblem(name, error);
  if (!(error instanceof Error) || error.name !== 'Error') return error;
  if ('code' in error) return folderProblem(dataDir, error);
  return error.cause === undefined ? new UsageError(error.message, { cause: error }) : error;
}

function folderProblem(dataDir: string, error: Error & { readonly code?: unknown }): unknown {
  const why = error.code === 'ENOTDIR' ? 'it, or a part of its path, is no folder' : null;
  return why === null ? fileProblem(dataDir, error) : new UsageError(`${dataDir}: ${why}`, { cause: error });
}

async function restore(context: Context, name: string, options: RestoreOptions): Promise<ExitCode> {
  const { shell, out } = context;
  const { BUMP_REVISION_DEFAULT, restoreDataFolder } = await import('../../server/restore.ts');
  const { backupFileBytes } = await import('../../snapshot/backup-file.ts');
  if (options.dataDir === '') throw new UsageError('--data-dir is empty; give a folder that is new or empty');
  const dataDir = resolve(shell.cwd, options.dataDir);
  const progress = new Progress(shell.stderr, out.json);
  try {
    const { backup, index, stateHash } = await restoreDataFolder({
      bytes: bytesOf(name, () => backupFileBytes(resolve(shell.cwd, name))),
      dataDir,
      clusterId: clusterId(options.clusterId),
      memberId: memberId(options.memberId),
      voters: options.members,
      bumpRevision: options.bumpRevision ?? BUMP_REVISION_DEFAULT,
      wal: LOG,
      onProgress: (bytes) => {
        shell.signal.throwIfAborted();
        progress.show(`${formatBytes(bytes)} restored`);
      },
    });
    progress.end();
    const from = { clusterId: backup.header.clusterId, index: backup.header.mark.index, stateHash: backup.stateHash };
    const result = {
      dataDir,
      clusterId: options.clusterId,
      memberId: options.memberId,
      index,
      stateHash,
      backup: from,
    };
    const lines = [
      `${dataDir}: member ${options.memberId} of cluster ${options.clusterId}, ${backup.rows} rows, revisions go on after ${index}`,
      `  state hash  ${stateHash}`,
      `Restore the same file for every member (${options.members.join(', ')}), then start them all.`,
      'Nothing is interrupted or recovered by itself until quorate policy set automationPaused=0.',
    ];
    out.result(result, lines.join('\n'));
    return EXIT.ok;
  } catch (error) {
    throw explained(name, options.dataDir, error);
  } finally {
    progress.end();
  }
}

export function addRestoreCommand(program: Command, shell: Shell): void {
  program
    .command('restore')
    .description('make the data folder of a member of a new cluster from a backup')
    .argument('<file>', 'a backup; it is verified to its last byte')
    .requiredOption('--data-dir <folder>', 'new or empty')
    .requiredOption('--cluster-id <id>', 'of the new cluster; another one than that of the backup', parseId)
    .requiredOption('--member-id <id>', 'which of the members this folder is for', parseId)
    .requiredOption('--members <ids>', 'first members of the new cluster: a,b,c; the same for each', parseMembers)
    .option(
      '--bump-revision <n>',
      'by how much revisions and tokens rise above the backup; default 1,000,000,000; with too little, tokens are given out again',
      parseCount,
    )
    .addHelpText(
      'after',
      `
Restore the same file once for each member, with the same --members and --bump-revision, then start them all. Tokens and
revisions go on rising; events from before the backup are not kept, so watches that want them are told COMPACTED. Automation is
paused until quorate policy set automationPaused=0: what was overdue in the backup may have been done since.

Example:
  quorate restore cluster.qbk --data-dir /var/lib/quorate/a --cluster-id prod-2 --member-id a --members a,b,c`,
    )
    .action((file: string, options: RestoreOptions, command: Command) =>
      run(shell, command, (context) => restore(context, file, options)),
    );
}
