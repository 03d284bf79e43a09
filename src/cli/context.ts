/** What every command gets: the global options, where to write, and how to reach the cluster. */
import { userInfo } from 'node:os';
import { type Command, InvalidArgumentError } from 'commander';
import { type Mutations, QuorateClient } from '../client/client.ts';
import { CALL_DEADLINE_DEFAULT_MS, NAME_LENGTH_MAX, SESSION_TTL_MAX_MS, SESSION_TTL_MIN_MS } from '../types/limits.ts';
import { EXIT, type ExitCode, exitCodeOf, UsageError } from './exit-codes.ts';
import { Output, type TextStream } from './output.ts';

export const ENDPOINTS_DEFAULT = '127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403';

/** The process as the commands see it. */
export interface Shell {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Fires at the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  exitCode: ExitCode;
}

export interface Context {
  readonly shell: Shell;
  readonly out: Output;
  readonly endpoints: readonly string[];
  readonly deadlineMs: number;
  readonly caller: string;
}

interface Globals {
  readonly endpoints: string;
  readonly json?: boolean;
  readonly deadline: number;
  readonly caller?: string;
}

/** `500ms`, `10s`, `2m`; a plain number is milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text.trim());
  const factor = { ms: 1, s: 1_000, m: 60_000 }[match?.[2] ?? 'ms'] ?? 1;
  const ms = Math.round(Number(match?.[1]) * factor);
  if (match === null || ms < 1) throw new InvalidArgumentError('Give a duration such as 500ms, 10s or 2m.');
  return ms;
}

function deadlineFrom(variable: string | undefined): number {
  if (variable === undefined || variable === '') return CALL_DEADLINE_DEFAULT_MS;
  try {
    return parseDuration(variable);
  } catch {
    throw new UsageError(`QUORATE_DEADLINE is ${JSON.stringify(variable)}; give a duration such as 500ms, 10s or 2m`);
  }
}

export function parseCount(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('Give a whole number from 0 on.');
  return value;
}

export function addGlobalOptions(program: Command, env: Shell['env']): void {
  program
    .option(
      '--endpoints <list>',
      'members to ask, host:port,… (QUORATE_ENDPOINTS)',
      env.QUORATE_ENDPOINTS ?? ENDPOINTS_DEFAULT,
    )
    .option('--json', 'one JSON object for each result')
    .option(
      '--deadline <duration>',
      'overall time for a call: 500ms, 10s, 2m (QUORATE_DEADLINE)',
      parseDuration,
      deadlineFrom(env.QUORATE_DEADLINE),
    )
    .option(
      '--caller <name>',
      'who asks, for records and events (QUORATE_CALLER; default: cli and the user)',
      env.QUORATE_CALLER,
    );
}

function parseEndpoints(list: string): readonly string[] {
  const endpoints = list
    .split(',')
    .map((endpoint) => endpoint.trim())
    .filter((endpoint) => endpoint !== '');
  const wrong = endpoints.find((endpoint) => !/^.+:\d{1,5}$/.test(endpoint));
  if (endpoints.length === 0 || wrong !== undefined) {
    throw new UsageError(`--endpoints: ${JSON.stringify(wrong ?? list)} is not host:port; write host:port,host:port,…`);
  }
  return endpoints;
}

function defaultCaller(): string {
  try {
    return `cli:${userInfo().username}`.slice(0, NAME_LENGTH_MAX);
  } catch {
    return 'cli';
  }
}

/** Runs a command; what it throws becomes a line and an exit code. */
export async function run(
  shell: Shell,
  command: Command,
  body: (context: Context) => Promise<ExitCode>,
): Promise<void> {
  const globals = command.optsWithGlobals<Globals>();
  const out = new Output(shell.stdout, shell.stderr, shell.env, globals.json === true);
  try {
    const endpoints = parseEndpoints(globals.endpoints);
    const caller = globals.caller ?? defaultCaller();
    shell.exitCode = await body({ shell, out, endpoints, deadlineMs: globals.deadline, caller });
  } catch (error) {
    if (!(shell.signal.aborted && error === shell.signal.reason)) out.failure(error, shell.env.QUORATE_DEBUG === '1');
    shell.exitCode = exitCodeOf(error);
  }
  if (shell.signal.aborted && shell.exitCode !== EXIT.ok) shell.exitCode = EXIT.interrupted;
}

export async function withClient<T>(context: Context, body: (client: QuorateClient) => Promise<T>): Promise<T> {
  const { endpoints, caller, deadlineMs, shell } = context;
  const client = await QuorateClient.connect({ endpoints, caller, deadlineMs, signal: shell.signal });
  try {
    return await body(client);
  } finally {
    await client.close();
  }
}

/** A mutation in a session of its own, so that it may be repeated when its outcome is unknown. */
export async function withSession<T>(
  context: Context,
  body: (session: Mutations, client: QuorateClient) => Promise<T>,
): Promise<T> {
  return withClient(context, async (client) => {
    const session = await client.openSession({
      ttlMs: Math.min(SESSION_TTL_MAX_MS, Math.max(SESSION_TTL_MIN_MS, context.deadlineMs * 2)),
      signal: context.shell.signal,
    });
    return body(session, client);
  });
}
