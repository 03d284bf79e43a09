/** What a chaos run makes outside of itself, and what it leaves alone. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { removeFolders } from '../../jepsen-style/system/leftovers.ts';
import { makerOf, nameOf } from '../../jepsen-style/system/names.ts';
import { freeSubnet } from '../../jepsen-style/system/network.ts';

const parent = realpathSync(mkdtempSync(join(tmpdir(), 'quorate-chaos-system-')));
afterAll(() => rmSync(parent, { recursive: true, force: true }));

describe('names', () => {
  it('tell who made it, and nothing of what others have named', () => {
    expect(makerOf(nameOf('link', 3))).toBe(process.pid);
    expect(makerOf(nameOf('namespace', 0))).toBe(process.pid);
    expect(makerOf('quorate-jepsen-17-a1B2c3')).toBe(17);
    for (const name of [
      'qj17bond',
      'qj17n',
      'xqj17n0',
      'qj17n0x',
      'quorate-jepsen-17',
      'quorate-jepsen-17-mine-to-keep',
    ])
      expect(makerOf(name), name).toBeNull();
  });
});

/** Runs until it is killed; `args` are only there to be seen. Resolves when it runs. */
async function idle(...args: readonly string[]) {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume(); console.log("up")', '--', ...args]);
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const ended = new Promise<NodeJS.Signals | null>((resolve) => child.once('exit', (_, signal) => resolve(signal)));
  return { child, ended };
}

describe('leftovers', () => {
  it('are removed with the members that run there, and nothing else is', async () => {
    const [stale, kept] = [join(parent, 'quorate-jepsen-17-a1B2c3'), join(parent, 'quorate-jepsen-18-a1B2c3')];
    for (const folder of [stale, kept]) mkdirSync(join(folder, 'm0'), { recursive: true });
    const elsewhere = join(parent, 'elsewhere');
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, 'mine'), '');
    symlinkSync(elsewhere, join(parent, 'quorate-jepsen-17-d4E5f6'));
    const member = await idle('--exit-with-parent', '--data-dir', join(stale, 'm0'));
    const other = await idle('--exit-with-parent', '--data-dir', join(kept, 'm0'));
    const reader = await idle(join(stale, 'm0'));
    try {
      // A member that stands still does not notice that its parent has ended.
      member.child.kill('SIGSTOP');
      expect(removeFolders(parent, (name) => makerOf(name) === 17)).toEqual([`folder ${stale}`]);
      expect(await member.ended).toBe('SIGKILL');
      expect(existsSync(stale)).toBe(false);
      expect(existsSync(join(kept, 'm0'))).toBe(true);
      expect(existsSync(join(elsewhere, 'mine'))).toBe(true);
      for (const { child } of [other, reader]) expect([child.exitCode, child.signalCode]).toEqual([null, null]);
    } finally {
      for (const { child } of [member, other, reader]) child.kill('SIGKILL');
    }
  });
});

describe('the network of a run', () => {
  it('has addresses that nobody else on the machine has', () => {
    expect(freeSubnet('', 300)).toBe('10.84.44');
    expect(freeSubnet('default via 172.17.0.1 dev eth0 \n172.17.0.0/16 dev eth0 scope link', 7)).toBe('10.84.7');
    const another = '10.84.7.0/24 dev qj9b0 proto kernel scope link src 10.84.7.254\nlocal 10.84.7.254 dev qj9b0';
    expect(freeSubnet(another, 7)).toBe('10.84.8');
    expect(freeSubnet('local 10.84.255.3 dev eth1 table local', 255)).toBe('10.84.0');
    // The machine is on a network that has half of them; or all.
    expect(freeSubnet('10.84.0.0/17 dev eth1', 7)).toBe('10.84.128');
    const wide = '10.0.0.0/8 via 192.168.0.1 dev tun0';
    expect(freeSubnet(wide, 7)).toBe('198.18.7');
    expect(() => freeSubnet(`${wide}\n198.18.0.0/15 dev eth2`, 7)).toThrow(RangeError);
  });
});
