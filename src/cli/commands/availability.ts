/** `quorate availability` and `quorate permit-async`: members that are slow or away, and what may be done about it. */
import type { Command } from 'commander';
import type { Availability, MemberAvailability } from '../../client/client.ts';
import { addConsistencyOption, type ConsistencyOption, readOptions } from '../consistency.ts';
import { run, type Shell, withClient, withSession } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { table } from '../output.ts';

function time(ms: number | null): string {
  return ms === null ? '-' : new Date(ms).toISOString();
}

function stateOf({ lagging, asyncUntilMs, isolatedAtMs, evictionBlocked }: MemberAvailability): string {
  const states = [
    lagging ? 'LAGGING' : '',
    asyncUntilMs === null ? '' : 'PERMIT_ASYNC',
    isolatedAtMs === null ? '' : evictionBlocked ? 'EVICTION_BLOCKED' : 'PENDING_EVICTION',
  ];
  return states.filter((state) => state !== '').join(' ');
}

function availabilityText({ members }: Availability): string {
  if (members.length === 0) return 'all members are well';
  const rows = members.map((one) => [
    one.memberId,
    one.role ?? '-',
    stateOf(one),
    time(one.asyncUntilMs),
    time(one.isolatedAtMs),
    time(one.evictAtMs),
    one.issue === null ? '-' : String(one.issue),
  ]);
  return table(['MEMBER', 'ROLE', 'STATE', 'ASYNC UNTIL', 'ISOLATED SINCE', 'EVICTED AFTER', 'ISSUE'], rows);
}

function addShow(program: Command, shell: Shell): void {
  addConsistencyOption(
    program.command('availability').description('members that are slow or away, and what becomes of them'),
  )
    .addHelpText('after', '\nExamples:\n  quorate availability\n  quorate availability --json | jq .members')
    .action((options: ConsistencyOption, command: Command) =>
      run(shell, command, async (context) => {
        const found = await withClient(context, (client) => client.availability(readOptions(context, options)));
        context.out.result(found, availabilityText(found));
        return EXIT.ok;
      }),
    );
}

function addPermit(program: Command, shell: Shell): void {
  program
    .command('permit-async')
    .description('let one voter acknowledge writes before its fsync, for a while')
    .argument('<member>', 'a voter that does not lead')
    .option('--off', 'end the permission now', false)
    .addHelpText(
      'after',
      `
For a member whose disk is slow, so that writes do not wait for it when another one fails. It ends by itself (30 minutes unless the policy permitAsyncMs
says otherwise), and one member at a time may have it, among enough others. If the member crashes meanwhile, it fetches
everything back before it votes again.

Examples:
  quorate permit-async c
  quorate permit-async c --off`,
    )
    .action((member: string, { off }: { off: boolean }, command: Command) =>
      run(shell, command, async (context) => {
        const { signal } = shell;
        const answer = await withSession(context, (session) => session.permitAsync(member, { on: !off, signal }));
        const text = off
          ? `${member} waits for its fsync again`
          : `${member} may acknowledge before its fsync; \`quorate availability\` shows until when`;
        context.out.result({ member, on: !off, ...answer }, text);
        return EXIT.ok;
      }),
    );
}

export function addAvailabilityCommands(program: Command, shell: Shell): void {
  addShow(program, shell);
  addPermit(program, shell);
}
