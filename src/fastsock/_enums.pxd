# Enum members of families and types. Its rules are in `_enums.pyx`.

cdef object family_member(int family)
cdef object type_member(int type)
