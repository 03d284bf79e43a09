/** `quorate backup`: the state of a cluster as a file, and whether such a file is sound. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { BackupPiece } from '../../client/client.ts';
import type { BackupSummary } from '../../snapshot/backup.ts';
import { type Context, run, type Shell, withClient } from '../context.ts';
import { EXIT, type ExitCode, UsageError } from '../exit-codes.ts';
import { fileProblem, newFileProblem } from '../file-problem.ts';
import { formatTime } from '../output.ts';
import { formatBytes, Progress } from '../progress.ts';

/** What only these commands need is loaded when they run. */
const loadBackup = () => import('../../snapshot/backup.ts');
const loadBackupFile = () => import('../../snapshot/backup-file.ts');

function summaryOf(file: string, { header, rows, bytes, sha256, stateHash, fileBytes }: BackupSummary): object {
  const { clusterId, memberId, createdAtMs, version, mark } = header;
  const from = { clusterId, memberId, createdAtMs, version, index: mark.index, term: mark.term };
  return { file, ...from, rows, rowBytes: bytes, fileBytes, stateHash, sha256 };
}

function summaryText(file: string, { header, rows, sha256, stateHash, fileBytes }: BackupSummary): string {
  const { clusterId, memberId, createdAtMs, version, mark } = header;
  return [
    `${file}: cluster ${clusterId} after entry ${mark.index}, ${rows} rows, ${formatBytes(fileBytes)}`,
    `  made by member ${memberId} (version ${version}) at ${formatTime(createdAtMs)}`,
    `  state hash  ${stateHash}`,
    `  sha-256     ${sha256}`,
  ].join('\n');
}

function progressText(bytes: number, of: number | null): string {
  if (of === null || of === 0) return `${formatBytes(bytes)}`;
  return `${formatBytes(bytes)}, about ${Math.min(99, Math.floor((bytes / of) * 100))} %`;
}

async function backup(context: Context, name: string): Promise<ExitCode> {
  const { shell, out } = context;
  if (name === '') throw new UsageError('the name of the file is empty; give one that does not exist');
  const file = resolve(shell.cwd, name);
  const { writeBackupFile } = await loadBackupFile();
  const progress = new Progress(shell.stderr, out.json);
  let estimated: number | null = null;
  try {
    const summary = await withClient(context, async (client) => {
      async function* data(pieces: AsyncIterable<BackupPiece>): AsyncGenerator<Uint8Array, void, void> {
        for await (const piece of pieces) {
          estimated = piece.info.estimatedBytes;
          if (piece.data.length > 0) yield piece.data;
        }
      }
      const pieces = client.backup({ signal: shell.signal, deadlineMs: context.deadlineMs });
      return await writeBackupFile(file, data(pieces), (bytes) => progress.show(progressText(bytes, estimated)));
    });
    progress.end();
    out.result(summaryOf(file, summary), summaryText(name, summary));
    return EXIT.ok;
  } catch (error) {
    throw newFileProblem(name, error);
  } finally {
    progress.end();
  }
}

async function verify(context: Context, name: string): Promise<ExitCode> {
  const { shell, out } = context;
  const file = resolve(shell.cwd, name);
  const [{ verifyBackup }, { backupFileBytes }] = await Promise.all([loadBackup(), loadBackupFile()]);
  const progress = new Progress(shell.stderr, out.json);
  try {
    const summary = await verifyBackup(backupFileBytes(file), (bytes) => {
      shell.signal.throwIfAborted();
      progress.show(`${formatBytes(bytes)} read`);
    });
    progress.end();
    out.result(summaryOf(file, summary), `${summaryText(name, summary)}\nsound`);
    return EXIT.ok;
  } catch (error) {
    throw fileProblem(name, error);
  } finally {
    progress.end();
  }
}

export function addBackupCommands(program: Command, shell: Shell): void {
  const command = program
    .command('backup')
    .description('save the state of the cluster to a file, while work goes on')
    .argument('<file>', 'must not exist')
    .addHelpText(
      'after',
      `
Any member can be asked. The file has its name only when it is whole, verified and on disk.

Examples:
  quorate backup cluster-2026-01-31.qbk
  quorate backup cluster.qbk --endpoints 10.0.0.2:7401 --json | jq -r .sha256`,
    )
    .action((file: string, _options: object, self: Command) => run(shell, self, (context) => backup(context, file)));
  command
    .command('verify')
    .description('read a backup to its end, and say whether every byte is as it was written')
    .argument('<file>')
    .addHelpText(
      'after',
      '\nExit code 1: the file is damaged; do not restore it.\n\nExample:\n  quorate backup verify cluster-2026-01-31.qbk',
    )
    .action((file: string, _options: object, self: Command) => run(shell, self, (context) => verify(context, file)));
}
