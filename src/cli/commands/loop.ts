/** `quorate loop`: create, list, show. */
import type { Command } from 'commander';
import type { Loop, PhaseRun } from '../../client/client.ts';
import { addConsistencyOption, type ConsistencyOption, readOptions } from '../consistency.ts';
import { run, type Shell, withClient, withSession } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { formatTime, type Output, table } from '../output.ts';

export function stateText(out: Output, state: string): string {
  switch (state) {
    case 'CLEAN_EXIT':
      return out.paint('green', state);
    case 'RUNNING':
      return out.paint('cyan', state);
    case 'ABORTED':
    case 'FAILED_PARTIAL':
      return out.paint('yellow', state);
    case 'HARD_FAILED':
      return out.paint('red', state);
    default:
      return state;
  }
}

function progressText(run_: PhaseRun): string {
  return run_.total === 0 ? '' : `${run_.completed}/${run_.total}`;
}

function showLoop(out: Output, loop: Loop): string {
  const rows = loop.runs.map((one) => [
    one.ref.phase,
    one.state,
    one.attempt,
    progressText(one),
    one.subStepsDone,
    formatTime(one.startedAtMs),
    one.note,
  ]);
  const runs = table(['PHASE', 'STATE', 'ATTEMPT', 'PROGRESS', 'SUB-STEPS', 'STARTED', 'NOTE'], rows);
  const coloured = out.colours
    ? runs.replaceAll(/\b(CLEAN_EXIT|RUNNING|ABORTED|FAILED_PARTIAL|HARD_FAILED)\b/g, (s) => stateText(out, s))
    : runs;
  return `${out.paint('bold', loop.name)}  plan ${loop.plan}  round ${loop.g}  revision ${loop.changedRevision}\n${coloured}`;
}

export function addLoopCommands(program: Command, shell: Shell): void {
  const loop = program.command('loop').description('loops: named work that goes round through its phases');
  loop
    .command('create')
    .description('create a loop in round 1')
    .argument('<name>', "1–128 characters: letters, digits, '.', '_', '-', '/'")
    .option('--plan <name>', 'a registered plan', '')
    .addHelpText('after', '\nExample:\n  quorate loop create nightly')
    .action((name: string, options: { plan: string }, command: Command) =>
      run(shell, command, async (context) => {
        const { signal } = shell;
        const created = await withSession(context, (session) =>
          session.createLoop(name, { plan: options.plan, signal }),
        );
        context.out.result({ loop: name, ...created }, `created ${name}, round ${created.g}`);
        return EXIT.ok;
      }),
    );
  addConsistencyOption(loop.command('list').description('list all loops'))
    .addHelpText('after', '\nExample:\n  quorate loop list --json | jq -r .name')
    .action((options: ConsistencyOption, command: Command) =>
      run(shell, command, async (context) => {
        const rows: (string | number)[][] = [];
        await withClient(context, async (client) => {
          for await (const one of client.listLoops(readOptions(context, options))) {
            if (context.out.json) context.out.result(one, '');
            const open = one.runs.find((r) => r.state !== 'CLEAN_EXIT' && r.state !== 'HARD_FAILED');
            rows.push([one.name, one.plan, one.g, open === undefined ? '' : `${open.ref.phase} ${open.state}`]);
          }
        });
        context.out.line(
          rows.length === 0 ? 'no loops yet; quorate loop create NAME' : table(['LOOP', 'PLAN', 'ROUND', 'NEXT'], rows),
        );
        return EXIT.ok;
      }),
    );
  addConsistencyOption(loop.command('show').description('show a loop and the runs of its open round'))
    .argument('<name>')
    .addHelpText('after', '\nExample:\n  quorate loop show nightly')
    .action((name: string, options: ConsistencyOption, command: Command) =>
      run(shell, command, async (context) => {
        const shown = await withClient(context, (client) => client.getLoop(name, readOptions(context, options)));
        context.out.result(shown, showLoop(context.out, shown.loop));
        return EXIT.ok;
      }),
    );
}
