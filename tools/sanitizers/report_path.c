/* Preloaded with libasan and libubsan: UBSan's reports go into files, too.
 *
 * libubsan.so sets where to by a function of which libasan.so has another, which is found
 * first; so log_path in UBSAN_OPTIONS has no effect, and this calls its own.
 */

#include <dlfcn.h>
#include <stdlib.h>

__attribute__((constructor)) static void set_report_path(void)
{
    const char *path = getenv("FASTSOCK_UBSAN_REPORTS");
    void *library = dlopen("libubsan.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (path == NULL || library == NULL)
        return;
    void (*set)(const char *) = (void (*)(const char *))dlsym(library, "__sanitizer_set_report_path");
    if (set != NULL)
        set(path);
    dlclose(library);
}
