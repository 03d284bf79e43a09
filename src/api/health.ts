/** grpc.health.v1: for the whole server ('') and for each service by name. */
import type { Server } from '@grpc/grpc-js';
import { HealthImplementation, type ServingStatusMap } from 'grpc-health-check';

export class Health {
  readonly #services: readonly string[];
  readonly #implementation: HealthImplementation;
  #serving = false;

  /** NOT_SERVING until told otherwise. */
  constructor(serviceNames: readonly string[]) {
    this.#services = ['', ...serviceNames];
    const initial: ServingStatusMap = Object.fromEntries(this.#services.map((name) => [name, 'NOT_SERVING'] as const));
    this.#implementation = new HealthImplementation(initial);
  }

  addTo(server: Server): void {
    this.#implementation.addToServer(server);
  }

  /** Watchers of the health service are only told of changes. */
  set(serving: boolean): void {
    if (serving === this.#serving) return;
    this.#serving = serving;
    for (const name of this.#services) this.#implementation.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
  }
}
