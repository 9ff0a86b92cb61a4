// Names of errno values, see errors.h.
// glibc has strerrorname_np, but musl and older glibc have not, so the table is ours.
#include "errors.h"

#include <cerrno>

namespace hikyaku {

const char* ErrnoName(int number) {
#define NAME(code) \
  case code:       \
    return #code
  switch (number) {
    NAME(E2BIG);
    NAME(EACCES);
    NAME(EADDRINUSE);
    NAME(EADDRNOTAVAIL);
    NAME(EAFNOSUPPORT);
    NAME(EAGAIN);
    NAME(EALREADY);
    NAME(EBADF);
    NAME(EBUSY);
    NAME(ECANCELED);
    NAME(ECONNABORTED);
    NAME(ECONNREFUSED);
    NAME(ECONNRESET);
    NAME(EDESTADDRREQ);
    NAME(EDQUOT);
    NAME(EEXIST);
    NAME(EFAULT);
    NAME(EFBIG);
    NAME(EHOSTDOWN);
    NAME(EHOSTUNREACH);
    NAME(EINPROGRESS);
    NAME(EINTR);
    NAME(EINVAL);
    NAME(EIO);
    NAME(EISCONN);
    NAME(EISDIR);
    NAME(ELOOP);
    NAME(EMFILE);
    NAME(EMSGSIZE);
    NAME(ENAMETOOLONG);
    NAME(ENETDOWN);
    NAME(ENETRESET);
    NAME(ENETUNREACH);
    NAME(ENFILE);
    NAME(ENOBUFS);
    NAME(ENODEV);
    NAME(ENOENT);
    NAME(ENOLCK);
    NAME(ENOMEM);
    NAME(ENOPROTOOPT);
    NAME(ENOSPC);
    NAME(ENOSYS);
    NAME(ENOTCONN);
    NAME(ENOTDIR);
    NAME(ENOTSOCK);
    NAME(EOPNOTSUPP);
    NAME(EPERM);
    NAME(EPIPE);
    NAME(EPROTO);
    NAME(EPROTONOSUPPORT);
    NAME(EPROTOTYPE);
    NAME(EROFS);
    NAME(ESTALE);
    NAME(ETIMEDOUT);
    NAME(ETXTBSY);
    NAME(EXDEV);
    default:
      return "EUNKNOWN";
  }
#undef NAME
}

}  // namespace hikyaku
