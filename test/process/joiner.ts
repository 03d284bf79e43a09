/** A member that is started to be added to a running cluster. */
import { join } from 'node:path';
import { DevMember } from '../../src/server/dev-member.ts';
import { freePorts } from '../../src/server/free-ports.ts';
import { memberId } from '../../src/types/ids.ts';
import { cliPath } from '../support/build.ts';

export interface Address {
  readonly id: string;
  readonly peerAddress: string;
  readonly clientAddress: string;
}

export interface Joiner {
  readonly address: Address;
  readonly process: DevMember;
}

/** Starts `id` with `--join`; its folder is in `folder`. It knows the members that there are, so that it can answer them. */
export async function startJoiner(
  known: readonly Address[],
  id: string,
  folder: string,
  flags: readonly string[] = [],
): Promise<Joiner> {
  const [client, peer] = await freePorts(2);
  const address = { id, peerAddress: `127.0.0.1:${peer}`, clientAddress: `127.0.0.1:${client}` };
  const own = ['--cluster-id', 'dev', '--member-id', id, '--data-dir', join(folder, id), '--join'];
  const process_ = new DevMember({
    address: { ...address, id: memberId(id) },
    cli: cliPath,
    flags: [...own, '--members', JSON.stringify([...known, address]), ...flags],
    env: process.env,
    logFile: join(folder, `${id}.log`),
  });
  process_.start();
  return { address, process: process_ };
}

/** Where the first members are, as the cluster itself says. */
export async function addressesOf(client: {
  members(): Promise<{ members: readonly { memberId: string; peerAddress: string; clientAddress: string }[] }>;
}): Promise<readonly Address[]> {
  const { members } = await client.members();
  return members.map(({ memberId: id, peerAddress, clientAddress }) => ({ id, peerAddress, clientAddress }));
}
