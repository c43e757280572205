/* SPDX-License-Identifier: ISC */
/*
 * The state file: whatever its words say (G6). See world.h.
 */
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	world_run(data, size);
	return 0;
}
