/** `quorate feature-level`: what all members may rely on of each other (rolling upgrades). */
import { type Command, InvalidArgumentError } from 'commander';
import type { FeatureLevel } from '../../client/client.ts';
import { addConsistencyOption, type ConsistencyOption, readOptions } from '../consistency.ts';
import { run, type Shell, withClient, withSession } from '../context.ts';
import { EXIT } from '../exit-codes.ts';

function levelText({ level, used, pinned, supported }: FeatureLevel): string {
  const can = supported === 0 ? 'not all members were heard of' : `all members support ${supported}`;
  const raised = pinned ? 'pinned: it is not raised by itself' : 'it is raised by itself when all members support more';
  return `level ${level} (${can}; ${used} is in use and the lowest to go back to; ${raised})`;
}

function parseLevel(text: string): number {
  if (!/^[1-9]\d{0,2}$/.test(text)) throw new InvalidArgumentError('Give a feature level from 1 on.');
  return Number(text);
}

export function addFeatureLevelCommands(program: Command, shell: Shell): void {
  const feature = program.command('feature-level').description('what all members may rely on of each other');
  addConsistencyOption(feature.command('get').description('the level of the cluster'))
    .addHelpText('after', '\nExample:\n  quorate feature-level get --json')
    .action((options: ConsistencyOption, command: Command) =>
      run(shell, command, async (context) => {
        const level = await withClient(context, (client) => client.featureLevel(readOptions(context, options)));
        context.out.result(level, levelText(level));
        return EXIT.ok;
      }),
    );
  feature
    .command('set')
    .description('raise the level, or take it back to what is in use')
    .argument('<level>', 'a number from 1 on', parseLevel)
    .option('--pin', 'keep it there: it is not raised by itself any more', false)
    .addHelpText(
      'after',
      `
Without --pin the level rises again by itself as soon as all members support more.

Examples:
  quorate feature-level set 1 --pin     before an upgrade that may have to be taken back
  quorate feature-level set 2           afterwards`,
    )
    .action((level: number, options: { pin: boolean }, command: Command) =>
      run(shell, command, async (context) => {
        const { signal } = shell;
        const pinned = options.pin;
        const answer = await withSession(context, (session) => session.setFeatureLevel(level, { pinned, signal }));
        context.out.result({ level, pinned, ...answer }, `level ${level}${pinned ? ', pinned' : ''}`);
        return EXIT.ok;
      }),
    );
}
