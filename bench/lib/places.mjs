/** Where members run: all on loopback, or each in a network namespace of its own, where it can be cut off. */
import { Network } from './network.mjs';
import { freePorts } from './workspace.mjs';

export class Loopback {
  #ports;

  constructor(ports) {
    this.#ports = ports;
  }

  static async make(count) {
    return new Loopback(await freePorts(2 * count));
  }

  clientAddress(i) {
    return `127.0.0.1:${this.#ports[2 * i]}`;
  }
  peerAddress(i) {
    return `127.0.0.1:${this.#ports[2 * i + 1]}`;
  }
  command(_i, command, args) {
    return [command, args];
  }
}

/** Ports are apart from each other, so that several systems share the machines. */
export class Machines {
  network;
  #port;

  constructor(network, port) {
    this.network = network;
    this.#port = port;
  }

  /** Machines for so many systems; throws without root, iproute2 and nftables. */
  static make(workspace, count, systems) {
    const network = new Network(count);
    workspace.onExit(() => network.down());
    network.up();
    return Array.from({ length: systems }, (_, i) => new Machines(network, 7_400 + 10 * i));
  }

  clientAddress(i) {
    return `${this.network.address(i)}:${this.#port}`;
  }
  peerAddress(i) {
    return `${this.network.address(i)}:${this.#port + 1}`;
  }
  command(i, command, args) {
    return ['ip', ['netns', 'exec', this.network.namespace(i), command, ...args]];
  }
}
