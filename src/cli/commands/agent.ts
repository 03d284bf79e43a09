/** `quorate agent`: the programs that do the work. */
import type { Command } from 'commander';
import { addConsistencyOption, type ConsistencyOption, readOptions } from '../consistency.ts';
import { run, type Shell, withClient } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { formatTime, table } from '../output.ts';

export function addAgentCommands(program: Command, shell: Shell): void {
  const agent = program.command('agent').description('agents: programs that do the work of phases');
  addConsistencyOption(agent.command('list').description('agents that sent heartbeats, and which of them fell silent'))
    .addHelpText(
      'after',
      `
SEEN is the last heartbeat by the time that the health changed: heartbeats are not written down one by one.

Example:
  quorate agent list`,
    )
    .action((options: ConsistencyOption, command: Command) =>
      run(shell, command, async (context) => {
        const { out } = context;
        const rows: string[][] = [];
        await withClient(context, async ({ recoveries }) => {
          for await (const one of recoveries.agents(readOptions(context, options))) {
            if (out.json) out.result(one, '');
            rows.push([
              one.name,
              one.healthy ? 'healthy' : 'UNHEALTHY',
              formatTime(one.changedAtMs),
              formatTime(one.seenAtMs),
            ]);
          }
        });
        const text = table(['AGENT', 'HEALTH', 'SINCE', 'SEEN'], rows);
        const coloured = text.replaceAll(/\bUNHEALTHY\b/g, (word) => out.paint('red', word));
        out.line(rows.length === 0 ? 'no agent has sent a heartbeat yet' : coloured);
        return EXIT.ok;
      }),
    );
}
