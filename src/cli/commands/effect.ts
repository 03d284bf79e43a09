/** `quorate effect`: what phases did to the outside world. */
import { Command } from 'commander';
import type { LedgerEffect, PhaseRef } from '../../client/client.ts';
import { addConsistencyOption, type ConsistencyOption, readOptions } from '../consistency.ts';
import { parseCount, run, type Shell, withClient } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { formatTime, type Output, table } from '../output.ts';
import { formatMicros } from '../units.ts';

interface ListOptions extends ConsistencyOption {
  readonly g?: number;
}

function stateText(out: Output, state: LedgerEffect['state']): string {
  if (state === 'CONFIRMED') return out.paint('green', state);
  return state === 'INTENT' ? out.paint('yellow', state) : state;
}

function listText(out: Output, effects: readonly LedgerEffect[]): string {
  if (effects.length === 0) return 'no effects';
  const rows = effects.map((one) => [
    one.seq,
    one.key,
    one.attempt,
    `${one.compensator.kind} ${one.compensator.target}`,
    formatMicros(one.costMicros),
    formatTime(one.intentAtMs),
    formatTime(one.settledAtMs),
    one.description,
    // Last: colours would count as width.
    stateText(out, one.state),
  ]);
  return table(['EFFECT', 'KEY', 'ATTEMPT', 'COMPENSATOR', 'COST', 'INTENT', 'SETTLED', 'DESCRIPTION', 'STATE'], rows);
}

export function addEffectCommands(program: Command, shell: Shell): void {
  const effect = program.command('effect').description('the ledger of what phases did to the outside world');
  const list = new Command('list')
    .description('effects of a phase run, oldest first')
    .argument('<loop>')
    .argument('<phase>')
    .option('--g <round>', 'round; default: the open one', parseCount)
    .addHelpText('after', '\nExample:\n  quorate effect list nightly CONSTRUCT');
  addConsistencyOption(list).action((loop: string, phase: string, options: ListOptions, self: Command) =>
    run(shell, self, async (context) => {
      const effects: LedgerEffect[] = [];
      await withClient(context, async (client) => {
        const g = options.g ?? (await client.getLoop(loop, { signal: shell.signal })).loop.g;
        const ref: PhaseRef = { loop, phase, g };
        for await (const one of client.ledger.list(ref, readOptions(context, options))) effects.push(one);
      });
      context.out.result({ effects }, listText(context.out, effects));
      return EXIT.ok;
    }),
  );
  effect.addCommand(list);
}
