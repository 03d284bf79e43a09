/** What faults can be injected with on this machine: each tool is tried, not only looked for. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Disk } from './disk.ts';
import { exec, refusalOf } from './exec.ts';
import { FAKETIME_LIBRARY } from './faketime.ts';
import { FOLDER_PREFIX } from './names.ts';
import { Network } from './network.ts';

export type Tool = 'namespaces' | 'nft' | 'disks' | 'power' | 'strace' | 'relay' | 'faketime';

/** Why a tool cannot be used here; null: it can. */
export type Tools = Readonly<Record<Tool, string | null>>;

export const TOOL_NAMES: Readonly<Record<Tool, string>> = {
  namespaces: 'network namespaces joined by a bridge (root, iproute2)',
  nft: 'messages dropped on their way in (nftables)',
  disks: 'a small ext4 for each member (loop devices)',
  power: 'power loss (EXT4_IOC_SHUTDOWN, python3)',
  strace: 'slow and failing system calls (strace)',
  relay: 'delay, loss and reordering (a relay between TUN devices, python3); netem is not needed',
  faketime: 'clocks that jump and drift (libfaketime)',
};

export async function probeTools(): Promise<Tools> {
  const network = await probeNetwork();
  return { ...network, ...(await probeDisks()), strace: await probeStrace(), faketime: await probeFaketime() };
}

/** Nothing but processes can be broken. */
export function loopbackTools(why: string): Tools {
  return { namespaces: why, nft: why, disks: why, power: why, strace: why, relay: why, faketime: why };
}

/** True when a cluster can stand on namespaces and disks of its own. */
export function hasGround(tools: Tools): boolean {
  return tools.namespaces === null && tools.disks === null;
}

async function probeNetwork(): Promise<Pick<Tools, 'namespaces' | 'nft' | 'relay'>> {
  const network = new Network(2);
  try {
    await network.up();
    const nft = await network.disturb('probe', [{ from: 0, to: 1, loss: 0.5, rateKiB: 100 }]).then(
      () => null,
      (error: Error) => error.message,
    );
    return { namespaces: null, nft, relay: await probeTun(network.inside(0)) };
  } catch (error) {
    const why = messageOf(error);
    return { namespaces: why, nft: why, relay: why };
  } finally {
    network.down();
  }
}

function probeTun(inside: readonly string[]): Promise<string | null> {
  const open = `import fcntl, os, struct
handle = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(handle, 0x400454CA, struct.pack('16sH', b'probe0', 0x1001))`;
  return refusalOf([...inside, 'python3', '-c', open]);
}

async function probeDisks(): Promise<Pick<Tools, 'disks' | 'power'>> {
  const folder = await mkdtemp(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
  const disk = new Disk(folder, 'probe');
  try {
    await disk.create();
    const power = await disk.cutPower().then(
      () => null,
      (error: Error) => error.message,
    );
    return { disks: null, power };
  } catch (error) {
    const why = messageOf(error);
    return { disks: why, power: why };
  } finally {
    disk.removeNow();
    await rm(folder, { recursive: true, force: true });
  }
}

/** To attach to another process takes more rights than to trace one's own. */
function probeStrace(): Promise<string | null> {
  const attach = 'sleep 1 & exec strace -f -qq -e trace=fdatasync -e inject=fdatasync:delay_enter=1 -p $!';
  return refusalOf(['sh', '-c', attach]);
}

async function probeFaketime(): Promise<string | null> {
  if (!existsSync(FAKETIME_LIBRARY)) return `there is no ${FAKETIME_LIBRARY}; Debian's package faketime has it`;
  const year = 'process.stdout.write(String(new Date().getUTCFullYear()))';
  const env = [`LD_PRELOAD=${FAKETIME_LIBRARY}`, 'FAKETIME=+3660d'];
  try {
    const told = Number(await exec(['env', ...env, process.execPath, '-e', year]));
    return told > new Date().getUTCFullYear() + 5
      ? null
      : 'libfaketime does not change what Node.js takes for the time';
  } catch (error) {
    return messageOf(error);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
