/** `quorate demo`, and the hidden `quorate demo-agent` that it starts. */
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { AgentPort } from '../../demo/attempt.ts';
import type { DemoDeps } from '../../demo/cleanup.ts';
import type { DemoResult } from '../../demo/demo.ts';
import type { RecoveryDemoResult } from '../../demo/recovery-demo.ts';
import { type Context, parseCount, run, type Shell } from '../context.ts';
import { EXIT, type ExitCode, UsageError } from '../exit-codes.ts';
import { Output, table } from '../output.ts';

const ROUNDS_MAX = 8;
/** What only the archive has. */
const ARCHIVE_OPTIONS = ['dir', 'out', 'rounds'];

interface DemoCommandOptions {
  readonly scenario: 'archive' | 'recovery';
  readonly dir?: string;
  readonly out?: string;
  readonly rounds: number;
  readonly keep: boolean;
}

interface AgentCommandOptions {
  readonly loop: string;
  readonly g: number;
  readonly dir: string;
  readonly out: string;
  readonly journal: string;
  readonly holds: string;
  readonly takeOver: boolean;
}

interface ProvisionCommandOptions {
  readonly loop: string;
  readonly g: number;
  readonly provider: string;
  readonly holdAt?: number;
}

function parseRounds(text: string): number {
  const rounds = parseCount(text);
  if (rounds < 1 || rounds > ROUNDS_MAX) throw new InvalidArgumentError(`Give a number from 1 to ${ROUNDS_MAX}.`);
  return rounds;
}

function summary(context: Context, result: DemoResult): string {
  const { out } = context;
  const good = (text: string, ok: boolean): string => out.paint(ok ? 'green' : 'red', text);
  const { files, verified, subStepsRunTwice: twice } = result;
  const rows: [string, string][] = [
    [
      'files archived',
      `${files} (${(result.bytes / 1e6).toFixed(1)} MB) in ${result.rounds} round${result.rounds === 1 ? '' : 's'}`,
    ],
    ['archives read back and equal', good(`${verified} of ${files}`, verified === files)],
    ['leaders killed', String(result.leaderKills)],
    ['writes went on after', `${result.failoverMs} ms`],
    ['agents killed', String(result.agentKills)],
    ['sub-steps run twice', good(String(twice), twice === 0)],
    ['redone, because not on record', String(result.subStepsRedoneUnrecorded)],
    ['old tokens refused', good(String(result.staleTokenRefusals), result.staleTokenRefusals > 0)],
    ['too early, refused by the barrier', good(String(result.barrierRefusals), result.barrierRefusals > 0)],
    ['events, each seen once', String(result.events)],
    ['time', `${(result.durationMs / 1_000).toFixed(1)} s`],
  ];
  const kept = result.outFolder === null ? [] : [`The archives are in ${result.outFolder}`];
  return ['', table(['', ''], rows).trimStart(), '', ...verdict(out, result), ...kept].join('\n');
}

function recoverySummary({ out }: Context, result: RecoveryDemoResult): string {
  const good = (text: string | number, ok: boolean): string => out.paint(ok ? 'green' : 'red', String(text));
  const effects = result.ledger.map(({ attempt, thing, state, asked, made, unmade }) => {
    const tokens = asked.map(({ token, outcome }) => (outcome === 'done' ? `${token}` : `${token} (${outcome})`));
    return [String(attempt), thing, state, tokens.join(', ') || '–', made, unmade];
  });
  const { ranTwice, staleRefused, detectMs, timeoutMs, recoveryMs, durationMs } = result;
  const rows: [string, string][] = [
    ['effects, compensated', `${result.effects}, ${result.compensated}`],
    ['had effect twice', good(ranTwice, ranTwice === 0)],
    ['old tokens refused', good(staleRefused, staleRefused > 0)],
    ['leaders killed, agents killed', `${result.leaderKills}, ${result.agentKills}`],
    ['found after, timeout', `${detectMs} ms, ${timeoutMs} ms`],
    ['undone after', `${recoveryMs} ms`],
    ['time', `${(durationMs / 1_000).toFixed(1)} s`],
  ];
  return [
    '',
    table(['attempt', 'effect', 'in the ledger', 'undone with token', 'made', 'unmade'], effects),
    '',
    table(['', ''], rows).trimStart(),
    '',
    ...verdict(out, result),
  ].join('\n');
}

function verdict(
  out: Output,
  { ok, problems }: { readonly ok: boolean; readonly problems: readonly string[] },
): string[] {
  const held = out.paint(['bold', 'green'], 'Everything held.');
  const broke = out.paint(['bold', 'red'], 'Something did not hold:');
  return [ok ? held : broke, ...problems.map((problem) => `  ${problem}`)];
}

async function depsOf({ shell, out }: Context, keep: boolean): Promise<DemoDeps> {
  const { LiveView } = await import('../../demo/view.ts');
  const { startDevCluster } = await import('../../server/dev.ts');
  // With --json, stdout is for the one object.
  const target = out.json ? shell.stderr : shell.stdout;
  const colours = new Output(target, target, shell.env, false);
  const view = new LiveView(target, (style, text) => colours.paint(style, text));
  const cli = fileURLToPath(new URL('../main.js', import.meta.url));
  const { env, signal } = shell;
  const startCluster = (members: number, dataDir: string) =>
    startDevCluster({ members, dataDir, cli, env, signal, temporary: !keep });
  return { startCluster, view, cli, env, signal };
}

async function archiveDemo(context: Context, options: DemoCommandOptions): Promise<ExitCode> {
  const { DemoInputError, runDemo } = await import('../../demo/demo.ts');
  const { dir = null, out: outFolder = null, rounds, keep } = options;
  try {
    const result = await runDemo({ folder: dir, outFolder, rounds, keep }, await depsOf(context, keep));
    context.out.result(result, summary(context, result));
    return result.ok ? EXIT.ok : EXIT.unexpected;
  } catch (error) {
    if (error instanceof DemoInputError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}

async function demo(context: Context, options: DemoCommandOptions, command: Command): Promise<ExitCode> {
  if (options.scenario === 'archive') return archiveDemo(context, options);
  const strange = ARCHIVE_OPTIONS.find((name) => command.getOptionValueSource(name) === 'cli');
  if (strange !== undefined) {
    throw new UsageError(
      `--${strange} belongs to the scenario archive; leave it out, or leave out --scenario recovery`,
    );
  }
  const { runRecoveryDemo } = await import('../../demo/recovery-demo.ts');
  const { keep } = options;
  const result = await runRecoveryDemo({ keep }, await depsOf(context, keep));
  context.out.result(result, recoverySummary(context, result));
  return result.ok ? EXIT.ok : EXIT.unexpected;
}

/** Runs an agent that talks to the demo on stdin and stdout. */
async function runChild(shell: Shell, work: (port: AgentPort) => Promise<void>): Promise<ExitCode> {
  const waiting: (() => void)[] = [];
  let credits = 0;
  const lines = createInterface({ input: process.stdin });
  lines.on('line', () => {
    const next = waiting.shift();
    if (next === undefined) credits += 1;
    else next();
  });
  // The demo has gone: there is nobody to work for.
  lines.on('close', () => process.exit(EXIT.interrupted));
  const waitForGo = async (): Promise<void> => {
    if (credits > 0) credits -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
  };
  await work({ tell: (message) => void shell.stdout.write(`${JSON.stringify(message)}\n`), waitForGo });
  lines.removeAllListeners('close').close();
  return EXIT.ok;
}

async function agent({ shell, endpoints, caller }: Context, options: AgentCommandOptions): Promise<ExitCode> {
  const { runAgent } = await import('../../demo/agent.ts');
  const { parseHolds } = await import('../../demo/protocol.ts');
  const { loop, g, dir, out, journal, holds, takeOver } = options;
  const own = { loop, g, folder: dir, outFolder: out, journal, holds: parseHolds(holds), takeOver };
  return runChild(shell, (port) => runAgent({ endpoints, caller, ...own }, port));
}

async function provisionAgent(context: Context, options: ProvisionCommandOptions): Promise<ExitCode> {
  const { runProvisionAgent } = await import('../../demo/provision-agent.ts');
  const { shell, endpoints, caller } = context;
  const { holdAt = null, ...own } = options;
  return runChild(shell, (port) => runProvisionAgent({ endpoints, caller, ...own, holdAt }, port));
}

export function addDemoCommands(program: Command, shell: Shell): void {
  program
    .command('demo')
    .description('work on a cluster of three, while its leader and the agent are killed')
    .addOption(
      new Option('--scenario <name>', 'archive: a folder is archived; recovery: what is half done is undone')
        .choices(['archive', 'recovery'])
        .default('archive'),
    )
    .option('--dir <path>', 'folder to archive; default: a sample is made')
    .option('--out <path>', 'empty folder for the archives; default: a temporary one')
    .option('--rounds <n>', 'rounds of the archive, with all kills in each', parseRounds, 1)
    .option('--keep', 'leave the temporary folders in place', false)
    .addHelpText(
      'after',
      `
archive: exits with 0 only if every archive was read back and equals its file, nothing that was on record ran twice,
and the old token and the early phase were refused.
recovery: an agent that provisions things dies half-way, and the leader dies while it undoes them. Exits with 0 only if
each effect happened once and was undone once by the record of the outside world, documents were as before, and the second
agent came through.

Examples:
  quorate demo
  quorate demo --scenario recovery
  quorate demo --dir ~/Documents --json | tail -n 1 | jq .failoverMs`,
    )
    .action((options: DemoCommandOptions, command: Command) =>
      run(shell, command, (context) => demo(context, options, command)),
    );
  program
    .command('demo-agent', { hidden: true })
    .description("the demo's agent; started by quorate demo")
    .requiredOption('--loop <name>')
    .requiredOption('--g <round>', '', parseCount)
    .requiredOption('--dir <path>')
    .requiredOption('--out <path>')
    .requiredOption('--journal <file>')
    .option('--holds <list>', '', '')
    .option('--take-over', '', false)
    .action((options: AgentCommandOptions, command: Command) =>
      run(shell, command, (context) => agent(context, options)),
    );
  program
    .command('demo-provision-agent', { hidden: true })
    .description("the recovery demo's agent; started by quorate demo --scenario recovery")
    .requiredOption('--loop <name>')
    .requiredOption('--g <round>', '', parseCount)
    .requiredOption('--provider <url>')
    .option('--hold-at <n>', '', parseCount)
    .action((options: ProvisionCommandOptions, command: Command) =>
      run(shell, command, (context) => provisionAgent(context, options)),
    );
}
