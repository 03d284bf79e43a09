/** `quorate dev`: a cluster on this machine. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { DevCluster } from '../../server/dev.ts';
import { type Context, parseCount, run, type Shell } from '../context.ts';
import { EXIT, type ExitCode, UsageError } from '../exit-codes.ts';

interface DevOptions {
  readonly members: number;
  readonly data: string;
  readonly basePort: number;
  readonly ephemeral: boolean;
}

function announce(context: Context, cluster: DevCluster, leader: string, dataDir: string): void {
  const { out } = context;
  const members = cluster.members.map(({ id, pid, clientAddress, httpAddress, logFile }) => ({
    id,
    pid,
    clientAddress,
    httpAddress,
    logFile,
  }));
  const lines = members.map(
    ({ id, pid, clientAddress, httpAddress }) =>
      `  ${id}  ${clientAddress}  http://${httpAddress}/metrics  pid ${pid}${id === leader ? '  leader' : ''}`,
  );
  const text = [
    `${out.paint('green', '●')} ${members.length} members run, data and logs in ${dataDir}`,
    ...lines,
    `  export QUORATE_ENDPOINTS=${cluster.endpoints.join(',')}`,
    'ctrl-C stops them. Try: quorate status',
  ];
  out.result({ endpoints: cluster.endpoints, leader, dataDir, members }, text.join('\n'));
}

/** Says which members end. Resolves with false when it is to stop, with true when there is no member left. */
async function watchOver({ shell, out }: Context, cluster: DevCluster, temporary: boolean): Promise<boolean> {
  const ends = cluster.members.map(async (member) => {
    const { code, signal } = await member.exited;
    if (shell.signal.aborted) return;
    const log = temporary ? member.lastWords() : `the log: ${member.logFile}`;
    out.note(`member ${member.id} ended (${signal ?? `exit code ${code}`}); ${log}`);
  });
  const stopped = new Promise<boolean>((done) => {
    if (shell.signal.aborted) done(false);
    shell.signal.addEventListener('abort', () => done(false), { once: true });
  });
  return Promise.race([stopped, Promise.all(ends).then(() => !shell.signal.aborted)]);
}

async function dev(context: Context, options: DevOptions): Promise<ExitCode> {
  const { startDevCluster } = await import('../../server/dev.ts');
  const { shell, out } = context;
  const dataDir = options.ephemeral ? mkdtempSync(join(tmpdir(), 'quorate-dev-')) : resolve(shell.cwd, options.data);
  const { members, basePort, ephemeral: temporary } = options;
  try {
    let cluster: DevCluster;
    try {
      cluster = await startDevCluster({
        members,
        dataDir,
        ports: basePort,
        env: shell.env,
        temporary,
        signal: shell.signal,
      });
    } catch (error) {
      if (shell.signal.aborted) return EXIT.ok;
      throw error instanceof Error ? new UsageError(error.message, { cause: error }) : error;
    }
    const leader = await cluster.leader();
    announce(context, cluster, leader?.id ?? '', dataDir);
    const alone = await watchOver(context, cluster, temporary);
    out.line('stopping');
    await cluster.stop();
    if (alone) throw new Error('all members have ended; start them again with quorate dev');
    return EXIT.ok;
  } finally {
    if (options.ephemeral) rmSync(dataDir, { recursive: true, force: true });
  }
}

export function addDevCommand(program: Command, shell: Shell): void {
  program
    .command('dev')
    .description('run a whole cluster on this machine, for development')
    .option('--members <n>', 'number of members, 1 to 7', parseCount, 3)
    .option('--data <dir>', 'folder of the data and the logs', 'quorate-data')
    .option(
      '--base-port <port>',
      "first client port, the others follow; members' own ports are 100 above, HTTP 200",
      parseCount,
      7401,
    )
    .option('--ephemeral', 'use a temporary folder and remove it at the end', false)
    .addHelpText(
      'after',
      '\nQUORATE_* variables for servers are not passed on to the members.\n\nExamples:\n  quorate dev\n  quorate dev --ephemeral --members 5 --base-port 9000',
    )
    .action((options: DevOptions, command: Command) => run(shell, command, (context) => dev(context, options)));
}
