/** `quorate issue` and `quorate alert`: what went wrong and what was done about it. */
import type { Command } from 'commander';
import type { Alert, Issue } from '../../client/client.ts';
import { addConsistencyOption, type ConsistencyOption, readOptions } from '../consistency.ts';
import { parseCount, run, type Shell, withClient, withSession } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { formatTime, type Output, table } from '../output.ts';

function stateText(out: Output, state: string): string {
  if (state === 'OPEN') return out.paint('red', state);
  return out.paint(state === 'ACKNOWLEDGED' ? 'yellow' : 'green', state);
}

const aboutText = ({ ref, traceId }: Issue): string => (ref === null ? traceId : `${ref.loop} ${ref.g} ${ref.phase}`);

function listText(issues: readonly Issue[]): string {
  if (issues.length === 0) return 'no issues';
  const rows = issues.map((one) => [
    one.issue,
    one.kind,
    one.state,
    formatTime(one.openedAtMs),
    aboutText(one),
    one.seen[0] ?? '',
  ]);
  return table(['ISSUE', 'KIND', 'STATE', 'OPENED', 'ABOUT', 'SEEN'], rows);
}

function showText(out: Output, issue: Issue): string {
  const part = (name: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : [`${name}:`, ...lines.map((line) => `  ${line}`)];
  const { kind, state, openedAtMs, changedAtMs, traceId, ref } = issue;
  return [
    `${out.paint('bold', `issue ${issue.issue}`)}  ${kind}  ${stateText(out, state)}`,
    `opened ${formatTime(openedAtMs)}, changed ${formatTime(changedAtMs)}`,
    ...(ref === null
      ? []
      : [`run ${ref.loop} ${ref.g} ${ref.phase} (quorate recovery show ${ref.loop} ${ref.g} ${ref.phase})`]),
    ...(traceId === '' ? [] : [`trace ${traceId}`]),
    ...part('seen', issue.seen),
    ...part('isolated', issue.isolated),
    ...part('remediated', issue.remediated),
    ...part('note', issue.note === '' ? [] : [issue.note]),
  ].join('\n');
}

function alertsText(alerts: readonly Alert[]): string {
  if (alerts.length === 0) return 'no alerts';
  const rows = alerts.map((one) => [
    one.alert,
    one.name,
    one.issue ?? '–',
    one.state,
    formatTime(one.raisedAtMs),
    one.lastError === '' ? one.text : `${one.text} (${one.lastError})`,
  ]);
  return table(['ALERT', 'NAME', 'ISSUE', 'STATE', 'RAISED', 'TEXT'], rows);
}

export function addIssueCommands(program: Command, shell: Shell): void {
  const issue = program.command('issue').description('what went wrong, what was done about it');
  addConsistencyOption(issue.command('list').description('issues, oldest first'))
    .option('--open', 'leave out those that are closed', false)
    .addHelpText('after', '\nExample:\n  quorate issue list --open')
    .action((options: ConsistencyOption & { open: boolean }, command: Command) =>
      run(shell, command, async (context) => {
        const found: Issue[] = [];
        await withClient(context, async ({ issues }) => {
          for await (const one of issues.list({ ...readOptions(context, options), openOnly: options.open })) {
            if (context.out.json) context.out.result(one, '');
            found.push(one);
          }
        });
        context.out.line(listText(found));
        return EXIT.ok;
      }),
    );
  addConsistencyOption(issue.command('show').description('one issue: what was seen, isolated and remediated'))
    .argument('<issue>', 'its number', parseCount)
    .addHelpText('after', '\nExample:\n  quorate issue show 1042')
    .action((number: number, options: ConsistencyOption, command: Command) =>
      run(shell, command, async (context) => {
        const one = await withClient(context, ({ issues }) => issues.get(number, readOptions(context, options)));
        context.out.result(one, showText(context.out, one));
        return EXIT.ok;
      }),
    );
  issue
    .command('ack')
    .description('say that you have seen it')
    .argument('<issue>', 'its number', parseCount)
    .option('--note <text>', 'kept with the issue', '')
    .addHelpText('after', '\nExample:\n  quorate issue ack 1042 --note "compensator is being mended"')
    .action((number: number, { note }: { note: string }, command: Command) =>
      run(shell, command, async (context) => {
        const { signal } = shell;
        const answer = await withSession(context, (session) => session.acknowledgeIssue(number, { note, signal }));
        context.out.result({ issue: number, ...answer }, `acknowledged issue ${number}`);
        return EXIT.ok;
      }),
    );
  const alert = program.command('alert').description('alerts: what somebody had to be told at once');
  addConsistencyOption(alert.command('list').description('alerts, oldest first, and whether the webhook took them'))
    .addHelpText('after', '\nExample:\n  quorate alert list --json')
    .action((options: ConsistencyOption, command: Command) =>
      run(shell, command, async (context) => {
        const found: Alert[] = [];
        await withClient(context, async ({ issues }) => {
          for await (const one of issues.alerts(readOptions(context, options))) {
            if (context.out.json) context.out.result(one, '');
            found.push(one);
          }
        });
        context.out.line(alertsText(found));
        return EXIT.ok;
      }),
    );
}
