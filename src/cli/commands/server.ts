/** `quorate server`: one member of a cluster. */
import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import type { ConfigInput, LoadedConfig, ServerConfig } from '../../server/config.ts';
import type { Logger } from '../../server/config-logger.ts';
import type { Setting } from '../../server/config-settings.ts';
import type { RunningServer } from '../../server/main-server.ts';
import { MemberRemovedError } from '../../server/removed.ts';
import { type Context, run, type Shell } from '../context.ts';
import { EXIT, type ExitCode, UsageError } from '../exit-codes.ts';

interface ServerOptions extends Record<string, unknown> {
  readonly config?: string;
  readonly printConfig?: boolean;
  readonly exitWithParent?: boolean;
}

/** Stopping takes no longer than this; what is acknowledged is durable anyway, milliseconds. */
const STOP_MAX_MS = 8_000;
/** Then the process ends, whatever is still open, milliseconds. */
const LINGER_MS = 250;

function optionName(flag: string): string {
  return flag.slice(2).replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function readFile(path: string): ConfigInput['file'] {
  try {
    return { name: path, text: readFileSync(path, 'utf8') };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      { ENOENT: 'there is no such file', EACCES: 'it may not be read', EISDIR: 'it is a folder' }[code ?? ''] ??
      String(error);
    throw new UsageError(`--config ${path}: ${why}; give the path of a YAML file, or leave --config out`);
  }
}

/** What only this command needs is loaded when it runs: the others start faster without. */
async function load(shell: Shell, options: ServerOptions, settings: readonly Setting[]): Promise<LoadedConfig> {
  const { loadConfig } = await import('../../server/config.ts');
  const { formatProblem } = await import('../../server/config-problem.ts');
  const flags = new Map<string, string>();
  for (const setting of settings) {
    const value = options[optionName(setting.flag)] ?? options[optionName(setting.dottedFlag)];
    if (typeof value === 'string') flags.set(setting.path, value);
    if (value === true) flags.set(setting.path, 'true');
  }
  const path = options.config ?? shell.env.QUORATE_CONFIG;
  const loaded = loadConfig({ flags, env: shell.env, file: path === undefined ? null : readFile(path) }, shell.cwd);
  if (!loaded.ok) throw new UsageError(loaded.error.map(formatProblem));
  return loaded.value;
}

/** Resolves when the process that started this one has ended: its end of our stdin closes. */
function parentGone(): Promise<string> {
  return new Promise((resolve) => {
    const gone = (): void => resolve('the parent process ended');
    process.stdin.once('end', gone).once('close', gone).once('error', gone).resume();
  });
}

function aborted(signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve('asked to');
    signal.addEventListener('abort', () => resolve('asked to'), { once: true });
  });
}

async function serve(context: Context, options: ServerOptions, settings: readonly Setting[]): Promise<ExitCode> {
  const { shell, out } = context;
  const loaded = await load(shell, options, settings);
  if (options.printConfig === true) {
    const { printConfig } = await import('../../server/config-print.ts');
    const sources = Object.fromEntries(loaded.sources);
    out.result({ config: loaded.config, sources }, printConfig(loaded).trimEnd());
    return EXIT.ok;
  }
  const { createLogger } = await import('../../server/config-logger.ts');
  const logger = createLogger(loaded.config, shell.stderr);
  const stopping = [aborted(shell.signal), ...(options.exitWithParent === true ? [parentGone()] : [])];
  try {
    return await runMember(loaded.config, logger, Promise.race(stopping));
  } finally {
    // Reading it is what would keep the process alive.
    process.stdin.pause();
  }
}

async function runMember(config: ServerConfig, logger: Logger, stopping: Promise<string>): Promise<ExitCode> {
  const { startServer } = await import('../../server/main-server.ts');
  let server: RunningServer;
  try {
    server = await startServer(config, logger);
  } catch (error) {
    if (!(error instanceof Error) || error instanceof MemberRemovedError) throw error;
    throw new UsageError(`member ${config.memberId} cannot start: ${error.message}`, { cause: error });
  }
  const why = await Promise.race([stopping, server.failed]);
  if (typeof why === 'string') logger.info({ why }, 'stopping');
  const insist = setTimeout(() => {
    logger.warn('stopping took too long; what was acknowledged is durable');
    process.exit(EXIT.unexpected);
  }, STOP_MAX_MS);
  await server.stop();
  clearTimeout(insist);
  // @grpc/grpc-js 1.14 forgets a connection whose session begins while its server closes (server.js, `_sessionHandler`
  // finds no entry to add it to): it would keep the process alive for as long as the other side likes. One in some 20
  // members that stopped under load did not end.
  setTimeout(() => process.exit(), LINGER_MS).unref();
  if (typeof why === 'string') return EXIT.ok;
  if (why instanceof MemberRemovedError) throw why;
  throw new Error(`member ${config.memberId} failed: ${why.message}`, { cause: why });
}

/** `settings`: the flags that are offered; empty where another command is meant. */
export function addServerCommand(program: Command, shell: Shell, settings: readonly Setting[]): void {
  const command = program
    .command('server')
    .description('run one member of a cluster')
    .option('--config <file>', 'settings as YAML (QUORATE_CONFIG)')
    .option('--print-config', 'print the effective settings with their sources, and end')
    .addOption(new Option('--exit-with-parent', 'end when stdin closes').hideHelp());
  for (const { flag, dottedFlag, env, help, defaultValue } of settings) {
    const normal = defaultValue === undefined || defaultValue === '' ? '' : ` Default: ${String(defaultValue)}.`;
    // A switch may stand alone.
    const value = typeof defaultValue === 'boolean' ? '[true|false]' : '<value>';
    command.addOption(new Option(`${flag} ${value}`, `${help}${normal} (${env})`));
    if (dottedFlag !== flag) command.addOption(new Option(`${dottedFlag} ${value}`).hideHelp());
  }
  command
    .addHelpText(
      'after',
      `
A flag goes before an environment variable, that before the file, that before the default.

Examples:
  quorate server --config /etc/quorate/quorate.yaml
  quorate server --config quorate.yaml --member-id b --log-level debug
  quorate server --config quorate.yaml --print-config
  quorate server --config quorate.yaml --join          waits until \`quorate member add\` takes it in`,
    )
    .action((options: ServerOptions, self: Command) =>
      run(shell, self, (context) => serve(context, options, settings)),
    );
}
