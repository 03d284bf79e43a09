/**
 * What the members stand on. `namespaces`: a network namespace and a disk of its own for each, which needs root. `loopback`: this
 * machine's own loopback and folders; only processes can be broken there.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../src/server/free-ports.ts';
import { Disk } from '../system/disk.ts';
import { FOLDER_PREFIX } from '../system/names.ts';
import { Network } from '../system/network.ts';
import type { MemberPlace } from './member.ts';

const PORTS = { client: 7400, peer: 7401, http: 7402 } as const;

export class Ground {
  readonly kind: 'namespaces' | 'loopback';
  readonly folder: string;
  /** null on loopback. */
  readonly network: Network | null;
  /** By slot; empty on loopback. */
  readonly disks: readonly Disk[];
  readonly places: readonly MemberPlace[];

  private constructor(
    kind: Ground['kind'],
    folder: string,
    network: Network | null,
    disks: readonly Disk[],
    places: readonly MemberPlace[],
  ) {
    this.kind = kind;
    this.folder = folder;
    this.network = network;
    this.disks = disks;
    this.places = places;
  }

  /** Where servers of the harness can be reached by members. */
  get hostAddress(): string {
    return this.network?.hostAddress ?? '127.0.0.1';
  }

  /** `logs`: the folder for the logs of the members. Leaves nothing when it fails. */
  static async make(kind: Ground['kind'], count: number, logs: string): Promise<Ground> {
    mkdirSync(logs, { recursive: true });
    const folder = await mkdtemp(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
    if (kind === 'loopback') return new Ground(kind, folder, null, [], await loopbackPlaces(count, folder, logs));
    const network = new Network(count);
    const disks = Array.from({ length: count }, (_, i) => new Disk(folder, `m${i}`));
    const places = disks.map((disk, slot): MemberPlace => {
      const address = network.address(slot);
      return {
        slot,
        clientAddress: `${address}:${PORTS.client}`,
        peerAddress: `${address}:${PORTS.peer}`,
        httpAddress: `${address}:${PORTS.http}`,
        dataDir: join(disk.mountPoint, 'data'),
        logFile: join(logs, `m${slot}.log`),
        prefix: network.inside(slot),
      };
    });
    const ground = new Ground(kind, folder, network, disks, places);
    try {
      await network.up();
      for (const disk of disks) await disk.create();
      return ground;
    } catch (error) {
      ground.removeNow();
      throw error;
    }
  }

  /** On every way out, after the members were killed. Idempotent. */
  removeNow(): void {
    for (const disk of this.disks) disk.removeNow();
    this.network?.down();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function loopbackPlaces(count: number, folder: string, logs: string): Promise<readonly MemberPlace[]> {
  const ports = await freePorts(3 * count);
  return Array.from({ length: count }, (_, slot) => {
    const [client, peer, http] = ports.slice(3 * slot);
    return {
      slot,
      clientAddress: `127.0.0.1:${client}`,
      peerAddress: `127.0.0.1:${peer}`,
      httpAddress: `127.0.0.1:${http}`,
      dataDir: join(folder, `m${slot}`),
      logFile: join(logs, `m${slot}.log`),
      prefix: [],
    };
  });
}
