/** `quorate status` and `quorate watch`. */
import type { Command } from 'commander';
import type { EndpointStatus, MemberStatus, WatchEvent } from '../../client/client.ts';
import { type Context, parseCount, run, type Shell, withClient } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { formatTime, type Output, table } from '../output.ts';

/** A look at the cluster should not take as long as a mutation may, milliseconds. */
const STATUS_DEADLINE_MS = 2_000;

function statusRow(one: EndpointStatus): (string | number)[] {
  if ('error' in one) return [one.endpoint, '–', 'unreachable', '', '', '', '', one.error];
  const { memberId, streams } = one.status;
  const fault = troubleOf(one.status);
  const [stream] = streams;
  if (stream === undefined) return [one.endpoint, memberId, 'no stream', '', '', '', '', fault];
  const { role, term, commitIndex, appliedIndex, stateHash } = stream;
  return [one.endpoint, memberId, role, term, commitIndex, appliedIndex, stateHash.slice(0, 12), fault];
}

/** Above it the preallocated log outweighs everything that was proposed: the figure tells nobody anything. --json has it. */
const RATIO_SHOWN_MAX = 100;

/** W6: what the members write, in one line; '' when none says. */
function ioLine(endpoints: readonly EndpointStatus[]): string {
  const parts = endpoints.flatMap((one) => {
    if (!('status' in one) || one.status.io === null) return [];
    const { maxIoOverheadRatio: ratio, fsyncP50Ms, fsyncP99Ms } = one.status.io;
    const written =
      ratio === null
        ? 'nothing proposed yet'
        : ratio > RATIO_SHOWN_MAX
          ? 'little proposed yet'
          : `${ratio.toFixed(2)} bytes written per byte proposed`;
    return [
      `${one.status.memberId} ${written}, fsync p50 ${fsyncP50Ms.toFixed(1)} ms, p99 ${fsyncP99Ms.toFixed(1)} ms`,
    ];
  });
  return parts.length === 0 ? '' : `\ndisk: ${parts.join('; ')}`;
}

/** What is wrong, or special, about a member; '' when it is well. */
function troubleOf({ fault, alarms, removed, waitsToJoin }: MemberStatus): string {
  const notes = [fault ?? '', ...alarms, removed ? 'removed' : '', waitsToJoin ? 'waits to be added' : ''];
  return notes.filter((note) => note !== '').join(', ');
}

function leaderOf(endpoints: readonly EndpointStatus[]): string | null {
  for (const one of endpoints) {
    if (!('status' in one)) continue;
    const stream = one.status.streams.find((s) => s.role === 'leader');
    if (stream !== undefined) return one.status.memberId;
  }
  const named = endpoints.flatMap((one) => ('status' in one ? one.status.streams.map((s) => s.leaderId) : []));
  return named.find((id) => id !== null) ?? null;
}

async function status(context: Context, local: boolean): Promise<ExitCode> {
  const asked = local ? context.endpoints.slice(0, 1) : context.endpoints;
  const quick = { ...context, endpoints: asked, deadlineMs: Math.min(context.deadlineMs, STATUS_DEADLINE_MS) };
  const endpoints = await withClient(quick, (client) => client.status({ signal: context.shell.signal }));
  const leader = leaderOf(endpoints);
  const cluster = endpoints.flatMap((one) => ('status' in one ? [one.status.clusterId] : []))[0] ?? null;
  const head = ['ENDPOINT', 'MEMBER', 'ROLE', 'TERM', 'COMMIT', 'APPLIED', 'STATE HASH', 'FAULT'];
  const title = `cluster ${cluster}, ${leader === null ? 'no leader' : `leader ${leader}`}`;
  context.out.result(
    { cluster, leader, endpoints },
    `${title}\n${table(head, endpoints.map(statusRow))}${ioLine(endpoints)}`,
  );
  if (local) return localVerdict(context, endpoints);
  if (leader !== null) return EXIT.ok;
  context.out.note(`quorate: ${whyNoLeader(endpoints)}`);
  return EXIT.unavailable;
}

function whyNoLeader(endpoints: readonly EndpointStatus[]): string {
  const answers = endpoints.flatMap((one) => ('status' in one ? [one.status] : []));
  if (answers.length > 0 && answers.every(({ waitsToJoin }) => waitsToJoin)) {
    const ids = answers.map(({ memberId }) => memberId).join(', ');
    return `${ids}: not added to a cluster yet; \`quorate member add\` does that, with the --endpoints of members of the cluster`;
  }
  return 'no leader; a majority of the members must run and reach each other';
}

/** A member is well when it answers and has no fault; whether somebody leads is not its doing. */
function localVerdict(context: Context, endpoints: readonly EndpointStatus[]): ExitCode {
  const [one] = endpoints;
  if (one !== undefined && 'status' in one && one.status.fault === null) return EXIT.ok;
  const why = one === undefined ? 'no endpoint' : 'status' in one ? one.status.fault : one.error;
  context.out.note(`quorate: ${one?.endpoint}: ${why}`);
  return EXIT.unavailable;
}

function eventText(out: Output, event: WatchEvent): string {
  const { revision, kind, loop, g, phase, attempt, caller, outcome } = event;
  const what = [
    loop,
    g === 0 ? '' : `g=${g}`,
    phase,
    attempt === 0 ? '' : `attempt=${attempt}`,
    outcome,
    caller === '' ? '' : `by ${caller}`,
  ];
  return `${String(revision).padStart(8)}  ${formatTime(event.timeMs)}  ${out.paint('cyan', kind.padEnd(26))}  ${what.filter((w) => w !== '').join(' ')}`;
}

export function addClusterCommands(program: Command, shell: Shell): void {
  program
    .command('status')
    .description('who leads, and how far each member is')
    .option('--local', 'only the first endpoint: done if it answers and has no fault, even without a leader', false)
    .addHelpText(
      'after',
      `
Without --local, it is done (exit code 0) only if a member leads. --local is for health checks: a member without a
majority is well, and starting it again helps nobody.

Examples:
  quorate status
  quorate status --json | jq -r .leader
  quorate status --local --endpoints 127.0.0.1:7401`,
    )
    .action((options: { local: boolean }, command: Command) =>
      run(shell, command, (context) => status(context, options.local)),
    );
  program
    .command('watch')
    .description('events as they happen; goes on by itself after a change of leader')
    .option('--from <revision>', 'first revision wanted; default: from now on', parseCount)
    .option('--loop <name>', 'only events of this loop')
    .option('--count <n>', 'end after this many events', parseCount)
    .addHelpText(
      'after',
      '\nExamples:\n  quorate watch --loop nightly\n  quorate watch --from 1 --json | jq -c "[.revision, .kind]"',
    )
    .action((options: { from?: number; loop?: string; count?: number }, command: Command) =>
      run(shell, command, async (context) => {
        const { from, loop, count } = options;
        let left = count ?? Number.POSITIVE_INFINITY;
        await withClient(context, async (client) => {
          const wanted = {
            signal: shell.signal,
            ...(from === undefined ? {} : { fromRevision: from }),
            ...(loop === undefined ? {} : { loop }),
          };
          if (left <= 0) return;
          for await (const event of client.watch(wanted)) {
            context.out.result(event, eventText(context.out, event));
            left -= 1;
            if (left <= 0) return;
          }
        });
        return left > 0 && shell.signal.aborted ? EXIT.interrupted : EXIT.ok;
      }),
    );
}
