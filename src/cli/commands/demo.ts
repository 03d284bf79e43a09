/** `quorate demo`, and the hidden `quorate demo-agent` that it starts. */
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Command, InvalidArgumentError } from 'commander';
import type { DemoResult } from '../../demo/demo.ts';
import { type Context, parseCount, run, type Shell } from '../context.ts';
import { EXIT, type ExitCode, UsageError } from '../exit-codes.ts';
import { Output, table } from '../output.ts';

const ROUNDS_MAX = 8;

interface DemoCommandOptions {
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
  const verdict = result.ok
    ? out.paint(['bold', 'green'], 'Everything held.')
    : out.paint(['bold', 'red'], 'Something did not hold:');
  const kept = result.outFolder === null ? [] : [`The archives are in ${result.outFolder}`];
  return [
    '',
    table(['', ''], rows).trimStart(),
    '',
    verdict,
    ...result.problems.map((problem) => `  ${problem}`),
    ...kept,
  ].join('\n');
}

async function demo(context: Context, options: DemoCommandOptions): Promise<ExitCode> {
  const { DemoInputError, runDemo } = await import('../../demo/demo.ts');
  const { LiveView } = await import('../../demo/view.ts');
  const { startDevCluster } = await import('../../server/dev.ts');
  const { shell, out } = context;
  // With --json, stdout is for the one object.
  const target = out.json ? shell.stderr : shell.stdout;
  const colours = new Output(target, target, shell.env, false);
  const view = new LiveView(target, (style, text) => colours.paint(style, text));
  const cli = fileURLToPath(new URL('../main.js', import.meta.url));
  const { dir = null, out: outFolder = null, rounds, keep } = options;
  const { env, signal } = shell;
  const startCluster = (members: number, dataDir: string) =>
    startDevCluster({ members, dataDir, cli, env, signal, temporary: !keep });
  const deps = { startCluster, view, cli, env, signal };
  try {
    const result = await runDemo({ folder: dir, outFolder, rounds, keep }, deps);
    out.result(result, summary(context, result));
    return result.ok ? EXIT.ok : EXIT.unexpected;
  } catch (error) {
    if (error instanceof DemoInputError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}

async function agent(context: Context, options: AgentCommandOptions): Promise<ExitCode> {
  const { runAgent } = await import('../../demo/agent.ts');
  const { parseHolds } = await import('../../demo/protocol.ts');
  const { shell, endpoints, caller } = context;
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
  const { loop, g, dir, out, journal, holds, takeOver } = options;
  await runAgent(
    { endpoints, caller, loop, g, folder: dir, outFolder: out, journal, holds: parseHolds(holds), takeOver },
    { tell: (message) => void shell.stdout.write(`${JSON.stringify(message)}\n`), waitForGo },
  );
  lines.removeAllListeners('close').close();
  return EXIT.ok;
}

export function addDemoCommands(program: Command, shell: Shell): void {
  program
    .command('demo')
    .description('archive a folder on a cluster of three, while its leader and the agent are killed')
    .option('--dir <path>', 'folder to archive; default: a sample is made')
    .option('--out <path>', 'empty folder for the archives; default: a temporary one')
    .option('--rounds <n>', 'rounds, with all kills in each', parseRounds, 1)
    .option('--keep', 'leave the temporary folders in place', false)
    .addHelpText(
      'after',
      `
Exits with 0 only if every archive was read back and equals its file, nothing that was on record ran twice,
and the old token and the early phase were refused.

Examples:
  quorate demo
  quorate demo --dir ~/Documents --json | tail -n 1 | jq .failoverMs`,
    )
    .action((options: DemoCommandOptions, command: Command) =>
      run(shell, command, (context) => demo(context, options)),
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
}
