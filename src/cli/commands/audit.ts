/** `quorate audit`: who did what, as a file that can be verified without the cluster. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { AuditFileSummary, AuditPiece } from '../../audit/file.ts';
import type { AuditVerification } from '../../audit/verify.ts';
import { type Context, parseCount, run, type Shell, withClient } from '../context.ts';
import { EXIT, type ExitCode, UsageError } from '../exit-codes.ts';
import { fileProblem } from '../file-problem.ts';
import { formatBytes, Progress } from '../progress.ts';

/** What only these commands need is loaded when they run. */
const loadFile = () => import('../../audit/file.ts');
const loadVerify = () => import('../../audit/verify.ts');

interface ExportOptions {
  readonly from?: number;
  readonly after?: string;
}

interface VerifyOptions {
  readonly formerClusterId?: readonly string[];
}

/** An export that cannot go on where the one before ended, or files that do not follow one another. */
class AuditGapError extends Error {
  override readonly name = 'AuditGapError';
}

function summaryText(name: string, { header, trailer }: AuditFileSummary): string {
  const { clusterId, firstPosition } = header;
  const { records, finalHash } = trailer;
  const range = records === 0 ? 'no records' : `records ${firstPosition} to ${firstPosition + records - 1}`;
  return `${name}: cluster ${clusterId}, ${range}\n  final hash  ${finalHash}`;
}

/** Where an export that goes on after `name` begins, and with which hash. */
async function endOf(context: Context, name: string): Promise<{ readonly from: number; readonly hash: string }> {
  const result = await check(context, name, {}, null);
  if (!result.sound) throw new AuditGapError(`${name} is not sound; quorate audit verify says why`);
  return { from: result.lastPosition + 1, hash: result.finalHash };
}

async function exportLog(context: Context, name: string, options: ExportOptions): Promise<ExitCode> {
  const { shell, out } = context;
  const file = resolve(shell.cwd, name);
  if (options.from !== undefined && options.after !== undefined)
    throw new UsageError('give --from or --after, not both');
  const end = options.after === undefined ? null : await endOf(context, options.after);
  const from = end?.from ?? options.from ?? 0;
  const { writeAuditFile } = await loadFile();
  const progress = new Progress(shell.stderr, out.json);
  try {
    const summary = await withClient(context, async (client) => {
      const { signal } = shell;
      const pieces = client.overrides.exportAudit({ from, signal, deadlineMs: context.deadlineMs });
      const checked = following(pieces as AsyncIterable<AuditPiece>, end);
      return await writeAuditFile(file, checked, (records) => progress.show(`${records} records`));
    });
    progress.end();
    const first = summary.header.firstPosition;
    if (first > Math.max(1, from)) out.note(`quorate: records before ${first} are no longer kept; export more often`);
    out.result({ file, ...summary.header, ...summary.trailer }, summaryText(name, summary));
    return EXIT.ok;
  } catch (error) {
    throw fileProblem(name, error);
  } finally {
    progress.end();
  }
}

/** The export goes on exactly where the one before has ended: same position, same hash. */
async function* following(
  pieces: AsyncIterable<AuditPiece>,
  end: { readonly from: number; readonly hash: string } | null,
): AsyncGenerator<AuditPiece, void, undefined> {
  for await (const piece of pieces) {
    const { firstPosition, previousHash } = piece.info;
    if (end !== null && firstPosition !== end.from) {
      throw new AuditGapError(`records ${end.from} to ${firstPosition - 1} are no longer kept; export without --after`);
    }
    if (end !== null && previousHash !== end.hash) {
      throw new AuditGapError(
        `the cluster has another record ${end.from - 1} than the earlier export; one of them was changed, or it is another cluster`,
      );
    }
    yield piece;
  }
}

async function check(
  context: Context,
  name: string,
  options: VerifyOptions,
  before: AuditVerification | null,
): Promise<AuditVerification> {
  const { shell, out } = context;
  const [{ verifyAudit }, { auditFileBytes }] = await Promise.all([loadVerify(), loadFile()]);
  const progress = new Progress(shell.stderr, out.json);
  try {
    return await verifyAudit(auditFileBytes(resolve(shell.cwd, name)), {
      formerClusterIds: options.formerClusterId ?? [],
      before,
      onProgress: (bytes) => {
        shell.signal.throwIfAborted();
        progress.show(`${name}: ${formatBytes(bytes)} read`);
      },
    });
  } catch (error) {
    throw fileProblem(name, error);
  } finally {
    progress.end();
  }
}

function verificationText(name: string, result: AuditVerification): string {
  const { header, records, lastPosition, finalHash, signatures, roster, problems, problemCount } = result;
  const first = header?.firstPosition ?? '?';
  const range = records === 0 ? 'no records' : `records ${first} to ${lastPosition}`;
  const more = problemCount > problems.length ? [`and ${problemCount - problems.length} more problems`] : [];
  const unknown =
    roster === null ? [`  who was on the roster is not known here: verify it after the exports before it`] : [];
  return [
    `${name}: cluster ${header?.clusterId ?? '?'}, ${range}, ${signatures} signatures of supervisors verified`,
    ...problems.map(({ line, message }) => `BAD   line ${line}: ${message}`),
    ...more,
    ...unknown,
    result.sound ? `  final hash  ${finalHash}\nsound` : 'NOT SOUND: this is not what the cluster has recorded',
  ].join('\n');
}

async function verify(context: Context, names: readonly string[], options: VerifyOptions): Promise<ExitCode> {
  let sound = true;
  let before: { readonly name: string; readonly result: AuditVerification } | null = null;
  for (const name of names) {
    const result = await check(context, name, options, before?.result ?? null);
    const gap = before === null ? null : gapBetween(before, name, result);
    sound = sound && result.sound && gap === null;
    const text = verificationText(name, result);
    context.out.result({ file: name, ...result, gap }, gap === null ? text : `${text}\nBAD   ${gap}`);
    before = { name, result };
  }
  return sound ? EXIT.ok : EXIT.unexpected;
}

/** null: `next` goes on where `before` ends. */
function gapBetween(
  before: { readonly name: string; readonly result: AuditVerification },
  name: string,
  { header }: AuditVerification,
): string | null {
  const { lastPosition, finalHash } = before.result;
  if (header?.firstPosition === lastPosition + 1 && header.previousHash === finalHash) return null;
  if (header?.firstPosition !== lastPosition + 1) {
    return `${name} begins with record ${header?.firstPosition ?? '?'}, ${before.name} ends with ${lastPosition}`;
  }
  return `${name} does not go on from ${before.name}: the hashes differ, so one of them was changed`;
}

export function addAuditCommands(program: Command, shell: Shell): void {
  const audit = program.command('audit').description('who did what: export the audit log, verify an export offline');
  audit
    .command('export')
    .description('write the audit log to a file, while work goes on')
    .argument('<file>', 'must not exist')
    .option('--from <position>', 'first record that is wanted; default: the oldest that is kept', parseCount)
    .option('--after <file>', 'go on where this export ended, and check that they fit')
    .addHelpText(
      'after',
      `
The cluster keeps the newest 64,000 records or so: export regularly, each time after the file before.

Examples:
  quorate audit export monday.audit
  quorate audit export tuesday.audit --after monday.audit`,
    )
    .action((file: string, options: ExportOptions, command: Command) =>
      run(shell, command, (context) => exportLog(context, file, options)),
    );
  audit
    .command('verify')
    .description('find every record that was changed, removed or moved; needs no cluster')
    .argument('<files...>', 'exports that follow one another')
    .option('--former-cluster-id <ids...>', 'clusters that this one was restored from: overrides were signed for them')
    .addHelpText(
      'after',
      `
Exit codes: 0 sound, 1 not sound, 2 wrong usage. Compare the final hash with one that was noted elsewhere: a file that was
written anew from its first changed record on gives itself away by that, and by what supervisors signed.

Examples:
  quorate audit verify monday.audit
  quorate audit verify monday.audit tuesday.audit --json | jq .sound`,
    )
    .action((files: readonly string[], options: VerifyOptions, command: Command) =>
      run(shell, command, (context) => verify(context, files, options)),
    );
}
