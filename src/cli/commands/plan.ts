/** `quorate plan`: register, list. */
import { type Command, InvalidArgumentError } from 'commander';
import type { PlanPhase } from '../../client/client.ts';
import { addConsistencyOption, type ConsistencyOption, readOptions } from '../consistency.ts';
import { parseDuration, run, type Shell, withClient, withSession } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { table } from '../output.ts';

const PRIOR_DEFAULT_MS = 30_000;

/** `NAME[:prior[:sla]]`, such as BUILD:20s:5m. */
function parsePhase(text: string, before: readonly PlanPhase[] = []): readonly PlanPhase[] {
  const [name = '', prior, sla, ...rest] = text.split(':');
  if (name === '' || rest.length > 0) throw new InvalidArgumentError('Write NAME[:prior[:sla]], such as BUILD:20s:5m.');
  const priorMs = prior === undefined || prior === '' ? PRIOR_DEFAULT_MS : parseDuration(prior);
  return [...before, { name, priorMs, slaMs: sla === undefined || sla === '' ? 0 : parseDuration(sla) }];
}

export function addPlanCommands(program: Command, shell: Shell): void {
  const plan = program.command('plan').description('plans: the ordered phases of a loop');
  plan
    .command('register')
    .description('register a plan under a new name')
    .argument('<name>')
    .argument(
      '<phases...>',
      'in order, each NAME[:prior[:sla]]: expected duration, longest time without progress',
      parsePhase,
    )
    .addHelpText('after', '\nExample:\n  quorate plan register release BUILD:5m TEST:10m:2m SHIP:30s')
    .action((name: string, phases: readonly PlanPhase[], _options: object, command: Command) =>
      run(shell, command, async (context) => {
        const { signal } = shell;
        const answer = await withSession(context, (session) => session.registerPlan({ name, phases }, { signal }));
        context.out.result({ plan: name, ...answer }, `registered ${name}: ${phases.map((p) => p.name).join(' → ')}`);
        return EXIT.ok;
      }),
    );
  addConsistencyOption(plan.command('list').description('list all plans'))
    .addHelpText('after', '\nExample:\n  quorate plan list')
    .action((options: ConsistencyOption, command: Command) =>
      run(shell, command, async (context) => {
        const rows: string[][] = [];
        await withClient(context, async (client) => {
          for await (const one of client.listPlans(readOptions(context, options))) {
            if (context.out.json) context.out.result(one, '');
            rows.push([one.name, one.phases.map((p) => p.name).join(' → ')]);
          }
        });
        context.out.line(table(['PLAN', 'PHASES'], rows));
        return EXIT.ok;
      }),
    );
}
