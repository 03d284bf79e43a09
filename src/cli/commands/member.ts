/** `quorate member`: who is there, who comes and goes. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { MemberChange, MemberInfo, MemberList, QuorateClient } from '../../client/client.ts';
import { isAddress } from '../../types/address.ts';
import { isName } from '../../types/ids.ts';
import { addConsistencyOption, type ConsistencyOption, readOptions } from '../consistency.ts';
import { type Context, parseDuration, run, type Shell, withClient, withSession } from '../context.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import { table } from '../output.ts';
import { formatBytes } from '../progress.ts';
import { type Goal, waitFor } from '../wait-for-members.ts';

export interface NewMember {
  readonly id: string;
  readonly peerAddress: string;
  readonly clientAddress: string;
}

/** `ID=PEER,CLIENT`, such as d=10.0.0.4:7501,10.0.0.4:7401. */
export function parseMember(text: string): NewMember {
  const [id = '', addresses = '', ...more] = text.split('=');
  const [peerAddress = '', clientAddress = '', ...rest] = addresses.split(',');
  const wrong = !isName(id) || !isAddress(peerAddress) || !isAddress(clientAddress);
  if (wrong || more.length + rest.length > 0) {
    throw new InvalidArgumentError(
      'Write ID=PEER,CLIENT with host:port twice, such as d=10.0.0.4:7501,10.0.0.4:7401: how members reach it, how clients do.',
    );
  }
  return { id, peerAddress, clientAddress };
}

function collectMember(text: string, before: readonly NewMember[] = []): readonly NewMember[] {
  return [...before, parseMember(text)];
}

interface WaitOptions {
  readonly wait: boolean;
  readonly timeout?: number;
}

function waiting(command: Command): Command {
  return command
    .option('--no-wait', 'end when the change is on record; the leader carries it out')
    .addOption(
      new Option('--timeout <duration>', 'give up waiting after this long; the change goes on').argParser(
        parseDuration,
      ),
    );
}

/** `present`: who is in a configuration. Whom a member replaces is shown until that one is out. */
function memberRow(one: MemberInfo, present: ReadonlySet<string>): (string | number)[] {
  const role = `${one.role ?? '–'}${one.leader ? ' (leads)' : ''}`;
  const wish = one.wanted === null || one.wanted === one.role ? '' : one.wanted;
  const stands = one.replaces !== null && one.wanted !== 'removed' && present.has(one.replaces);
  const replaces = stands ? `replaces ${one.replaces}` : '';
  const transfer = one.transfer === null ? '' : `image ${formatBytes(one.transfer.bytesSent)} sent`;
  const notes = [one.recovering ? 'recovering' : '', replaces, transfer].filter((note) => note !== '').join(', ');
  const { memberId, active, lagEntries, featureLevel, peerAddress, clientAddress } = one;
  return [
    memberId,
    role,
    wish,
    active ? 'yes' : 'no',
    lagEntries,
    featureLevel ?? '?',
    peerAddress,
    clientAddress,
    notes,
  ];
}

function listText({ members, joint, settled }: MemberList): string {
  const head = ['MEMBER', 'ROLE', 'WANTED', 'ACTIVE', 'LAG', 'LEVEL', 'PEER ADDRESS', 'CLIENT ADDRESS', 'NOTE'];
  const state = joint
    ? 'a change is under way: two configurations are in force'
    : settled
      ? ''
      : 'a change is under way';
  const present = new Set(members.filter(({ role }) => role !== null).map(({ memberId }) => memberId));
  const rows = members.map((one) => memberRow(one, present));
  return `${table(head, rows)}${state === '' ? '' : `\n${state}`}`;
}

/** Puts the change on record, then waits until the members are what was wanted. */
async function change(
  context: Context,
  changes: readonly MemberChange[],
  goals: readonly Goal[],
  options: WaitOptions & { readonly force?: boolean },
): Promise<typeof EXIT.ok> {
  const { shell, out } = context;
  const force = options.force === true;
  await withSession(context, async (session, client) => {
    const answer = await session.changeMembers(changes, { force, signal: shell.signal });
    if (!options.wait) {
      out.result({ ...answer, done: false }, 'on record; `quorate member list` shows how far it is');
      return;
    }
    const list = await waitFor(context, client, goals, options.timeout ?? null);
    out.result({ ...answer, done: true, members: list.members }, listText(list));
  });
  return EXIT.ok;
}

function toAdd({ id, peerAddress, clientAddress }: NewMember, learner: boolean): MemberChange {
  return { add: id, peerAddress, clientAddress, learner };
}

function addAdd(member: Command, shell: Shell): void {
  waiting(
    member
      .command('add')
      .description('add members; each becomes a voter once it has caught up')
      .argument('<members...>', 'ID=PEER,CLIENT: how other members reach it, how clients do', collectMember)
      .option('--learner', 'it stays a learner: it gets everything and has no vote', false),
  )
    .addHelpText(
      'after',
      `
Start the new member first, on an empty data folder, with \`quorate server --join\`. Several at once are one change.

Examples:
  quorate member add d=10.0.0.4:7501,10.0.0.4:7401
  quorate member add d=10.0.0.4:7501,10.0.0.4:7401 e=10.0.0.5:7501,10.0.0.5:7401 --json`,
    )
    .action((members: readonly NewMember[], options: WaitOptions & { learner: boolean }, command: Command) =>
      run(shell, command, (context) => {
        const goals = members.map(({ id }) => ({ member: id, role: options.learner ? 'learner' : 'voter' }) as const);
        return change(
          context,
          members.map((one) => toAdd(one, options.learner)),
          goals,
          options,
        );
      }),
    );
}

function addPromote(member: Command, shell: Shell): void {
  waiting(
    member.command('promote').description('make voters of learners, once they have caught up').argument('<members...>'),
  )
    .addHelpText('after', '\nExample:\n  quorate member promote d')
    .action((ids: readonly string[], options: WaitOptions, command: Command) =>
      run(shell, command, (context) =>
        change(
          context,
          ids.map((promote) => ({ promote })),
          ids.map((id) => ({ member: id, role: 'voter' })),
          options,
        ),
      ),
    );
}

function addRemove(member: Command, shell: Shell): void {
  waiting(
    member
      .command('remove')
      .description('take members out; their data folders never come back')
      .argument('<members...>')
      .option('--force', 'also where the voters left have no majority that was heard of lately', false),
  )
    .addHelpText(
      'after',
      '\nThe leader can be removed: it hands leadership over when it is out.\n\nExample:\n  quorate member remove c',
    )
    .action((ids: readonly string[], options: WaitOptions & { force: boolean }, command: Command) =>
      run(shell, command, (context) =>
        change(
          context,
          ids.map((remove) => ({ remove })),
          ids.map((id) => ({ member: id, role: null })),
          options,
        ),
      ),
    );
}

function addReplace(member: Command, shell: Shell): void {
  waiting(
    member
      .command('replace')
      .description('put a new member in the place of one that is gone or to go, in one change')
      .argument('<old>', 'member that goes')
      .argument('<new>', 'ID=PEER,CLIENT of the member that comes', parseMember),
  )
    .addHelpText(
      'after',
      `
The old one goes in the same change in which the new one becomes a voter: at no time are there fewer voters than before.
The new one needs an id of its own, an empty data folder, and must run: \`quorate server --join\`.

Example:
  quorate member replace c d=10.0.0.4:7501,10.0.0.4:7401`,
    )
    .action((old: string, fresh: NewMember, options: WaitOptions, command: Command) =>
      run(shell, command, (context) => {
        if (old === fresh.id)
          throw new UsageError(`${old} cannot replace itself; give the new member an id of its own`);
        const { id: add, peerAddress, clientAddress } = fresh;
        const goals: Goal[] = [
          { member: add, role: 'voter' },
          { member: old, role: null },
        ];
        return change(context, [{ add, peerAddress, clientAddress, replaces: old }], goals, options);
      }),
    );
}

export function addMemberCommands(program: Command, shell: Shell): void {
  const member = program.command('member').description('members: list, add, promote, remove, replace');
  addConsistencyOption(member.command('list').description('who is there, and how far a change is'))
    .addHelpText(
      'after',
      "\nLAG and ACTIVE are the leader's knowledge.\n\nExamples:\n  quorate member list\n  quorate member list --json | jq .settled",
    )
    .action((options: ConsistencyOption, command: Command) =>
      run(shell, command, async (context) => {
        const list = await withClient(context, (client: QuorateClient) =>
          client.members(readOptions(context, options)),
        );
        context.out.result(list, listText(list));
        return EXIT.ok;
      }),
    );
  addAdd(member, shell);
  addPromote(member, shell);
  addRemove(member, shell);
  addReplace(member, shell);
}

export function addLeaderCommands(program: Command, shell: Shell): void {
  const leader = program.command('leader').description('who leads');
  leader
    .command('transfer')
    .description('hand leadership over, without an election timeout')
    .argument('[member]', 'who is to lead; default: the voter that is furthest')
    .addHelpText('after', '\nExamples:\n  quorate leader transfer\n  quorate leader transfer b')
    .action((to: string | undefined, _options: object, command: Command) =>
      run(shell, command, async (context) => {
        const { signal } = shell;
        const now = await withClient(context, (client) => client.transferLeadership(to, { signal }));
        context.out.result({ leader: now }, now === null ? 'done; who leads is not known yet' : `${now} leads`);
        return EXIT.ok;
      }),
    );
}
